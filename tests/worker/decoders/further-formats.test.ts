import type { Preset } from '@millrace/shared/presets/preset.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import { createDecoders, type Decoders } from '@millrace/worker/decoders/decoders.ts'
import type { ImageKind } from '@millrace/worker/formats/image-kind.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { buildBmp } from '../support/build-bmp.ts'
import { fixtureImage } from '../support/fixture-images.ts'

// Some hundred decodes by one process.
const test = suite('damaged HEIC, JPEG XL, BMP and ICO in decoders', {}, { limitMs: 120_000 })
const preset: Preset = { name: 'none', variants: [] }
let decoders: Decoders

test.before(() => {
  decoders = createDecoders({
    config: {
      // A further decoder would compile the libraries once more.
      slots: 1,
      maxImagePixels: 1_000_000,
      decoderCpuLimitMs: 10_000,
      decoderTimeLimitMs: 60_000,
      decoderMemoryBytes: 1024 ** 3,
      decoderPreload: undefined,
    },
  })
})
test.after(() => decoders.close())

/** The ends of a damaged file. Any other is a fault of ours. */
const namedEnds: ReadonlySet<string> = new Set([
  'ready',
  'image_corrupt',
  'image_not_supported',
  'image_too_many_pixels',
  'image_too_complex',
  'poison_file',
])

async function endOf(kind: ImageKind, bytes: Buffer): Promise<string> {
  try {
    await decoders.renderImage(
      { kind, bytes, preset },
      { signal: new AbortController().signal, onInspected: () => {}, emit: () => {} },
    )
    return 'ready'
  } catch (error) {
    if (!(error instanceof AppError)) throw error
    return error.code
  }
}

const files: [name: string, kind: ImageKind, read: () => Promise<Buffer>][] = [
  ['heic-photo.heic', 'image/heic', () => fixtureImage('heic-photo.heic')],
  ['heic-alpha.heic', 'image/heic', () => fixtureImage('heic-alpha.heic')],
  ['jxl-photo.jxl', 'image/jxl', () => fixtureImage('jxl-photo.jxl')],
  ['jxl-container.jxl', 'image/jxl', () => fixtureImage('jxl-container.jxl')],
  ['bmp-rle8.bmp', 'image/bmp', () => fixtureImage('bmp-rle8.bmp')],
  ['a BMP with masks', 'image/bmp', async () => buildBmp('alphaMask')],
  ['ico-png.ico', 'image/x-icon', () => fixtureImage('ico-png.ico')],
  ['ico-palette-mask.ico', 'image/x-icon', () => fixtureImage('ico-palette-mask.ico')],
]
/** Of each file; half are cut as well. */
const rounds = 24
for (const [name, kind, read] of files) {
  test(`damaged copies of ${name} have a named end, and an intact one is rendered after them`, async () => {
    const whole = await read()
    let seed = 12
    const next = (limit: number) => {
      seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff
      return (seed >> 8) % limit
    }
    const copies = Array.from({ length: rounds }, (_, round) => {
      const length = round % 2 === 0 ? whole.length : 1 + next(whole.length)
      const copy = Buffer.from(whole.subarray(0, length))
      // Headers are short, so that half of the bytes are there.
      for (let flips = 0; flips < 4; flips++)
        copy[next(flips % 2 === 0 ? Math.min(length, 200) : length)] = next(256)
      return copy
    })
    for (const [round, copy] of copies.entries()) {
      const end = await endOf(kind, copy)
      assert.ok(namedEnds.has(end), `copy ${round}: ${end}`)
    }
    assert.is(await endOf(kind, whole), 'ready')
  })
}

test.run()
