import { readdir } from 'node:fs/promises'
import { defaultPreset } from '@millrace/shared/presets/preset.ts'
import { estimateCost } from '@millrace/worker/decoders/decode-cost.ts'
import { type ImageKind, imageKindNames, libvipsFormats } from '@millrace/worker/formats/image-kind.ts'
import { readImageHeader } from '@millrace/worker/headers/image-header.ts'
import {
  checkAfterFailure,
  checkBeforeDecoding,
  findUnsupported,
  repairImage,
} from '@millrace/worker/headers/image-structure.ts'
import { checkPng, pngChunks, writeChunk } from '@millrace/worker/structure/png-structure.ts'
import fc from 'fast-check'
import * as assert from 'uvu/assert'
import { checkProperty } from '../../support/check-property.ts'
import { suite } from '../../support/suite.ts'
import { fixtureImage } from '../support/fixture-images.ts'
import { sampleImage, sampleKinds } from '../support/sample-images.ts'

const test = suite('properties of structure readers')

const kinds = Object.keys(imageKindNames).filter((kind): kind is ImageKind =>
  Object.hasOwn(imageKindNames, kind),
)
const libvipsKinds = sampleKinds.filter((kind) => Object.hasOwn(libvipsFormats, kind))

/** The first bytes of files, so that readers go on. */
const signatures = [
  '',
  '\xff\xd8\xff',
  '\x89PNG\r\n\x1a\n',
  'GIF89a',
  'RIFF\x20\0\0\0WEBPVP8X',
  'II*\0\x08\0\0\0',
  'MM\0*\0\0\0\x08',
  'II+\0\x08\0\0\0',
  '\0\0\0\x18ftypavif',
  '\0\0\0\x18ftypheic',
  'BM',
  '\0\0\x01\0\x01\0',
  '\xff\x0a',
  '<svg ',
  '%PDF-1.7 /MediaBox [0 0 9',
  'FUJIFILMCCD-RAW ',
].map((text) => Buffer.from(text, 'latin1'))

/** Reads a file as each kind. It must not throw, and its cost must be a number that memory can be admitted by. */
function readAsAll(file: Buffer): void {
  for (const kind of kinds) {
    const header = readImageHeader(kind, file)
    if (header) {
      const { width, height, frames, pixelBytes } = header
      const isCounted = [width, height, frames, pixelBytes].every((number) => number >= 0)
      assert.ok(isCounted && frames >= 1 && Number.isInteger(frames), `${kind} ${JSON.stringify(header)}`)
    }
    const { bytes, pixels } = estimateCost(kind, file, defaultPreset)
    assert.ok(
      bytes >= 120 * 1024 ** 2 && Number.isFinite(bytes) && pixels >= 0,
      `${kind}: ${bytes}, ${pixels}`,
    )
  }
  for (const kind of libvipsKinds) {
    checkBeforeDecoding(kind, file)
    checkAfterFailure(kind, file)
    findUnsupported(kind, file)
    repairImage(kind, file)
  }
}

test('any bytes after any signature are read as any kind without an exception', async () => {
  const bytes = fc.uint8Array({ maxLength: 120 })
  await checkProperty(
    fc.property(fc.constantFrom(...signatures), bytes, (signature, rest) => {
      readAsAll(Buffer.concat([signature, rest]))
    }),
    { runs: 400 },
  )
})

const names = (await readdir(new URL('../../fixtures/images/', import.meta.url))).filter(
  (name) => !name.endsWith('.md'),
)
const files = await Promise.all(
  names.map(async (name): Promise<[string, Buffer]> => [name, await fixtureImage(name)]),
)
/** The small ones by name, so that a failure is printed with the name instead of the bytes. */
const fixtures = new Map(files.filter(([, { length }]) => length <= 12_000))

test('damaged and cut fixtures are read as any kind without an exception', async () => {
  const change = fc.record({
    share: fc.double({ min: 0, max: 1, noNaN: true }),
    bytes: fc.uint8Array({ minLength: 1, maxLength: 4 }),
  })
  const damaged = fc.record({
    name: fc.constantFrom(...fixtures.keys()),
    // Most numbers are in the first bytes.
    changes: fc.array(change, { minLength: 1, maxLength: 4 }),
    reach: fc.constantFrom(60, 400, 12_000),
    kept: fc.oneof(fc.constant(1), fc.double({ min: 0, max: 1, noNaN: true })),
  })
  await checkProperty(
    fc.property(damaged, ({ name, changes, reach, kept }) => {
      const copy = Buffer.from(fixtures.get(name) ?? '')
      for (const { share, bytes } of changes) {
        Buffer.from(bytes).copy(copy, Math.floor(share * Math.min(reach, copy.length - 1)))
      }
      readAsAll(copy.subarray(0, Math.ceil(kept * copy.length)))
    }),
    { runs: 300 },
  )
})

test('the header of a file has the size in which it was encoded', async () => {
  const side = fc.integer({ min: 1, max: 90 })
  await checkProperty(
    fc.asyncProperty(fc.constantFrom(...sampleKinds), side, side, async (kind, width, height) => {
      const header = readImageHeader(kind, await sampleImage(kind, width, height))
      assert.equal([header?.width, header?.height, header?.frames], [width, height, 1], kind)
    }),
    { runs: 40 },
  )
})

test('the chunks of a PNG are read as they were written, wherever it is cut', async () => {
  const letter = fc.constantFrom(...'ABCabcxyz')
  const type = fc.array(letter, { minLength: 4, maxLength: 4 }).map((letters) => letters.join(''))
  const chunks = fc.array(fc.tuple(type, fc.uint8Array({ maxLength: 20 })), { minLength: 1, maxLength: 8 })
  await checkProperty(
    fc.property(chunks, fc.double({ min: 0, max: 1, noNaN: true }), (written, kept) => {
      const parts = written.map(([name, data]) => writeChunk(name, Buffer.from(data)))
      const file = Buffer.concat([Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'), ...parts])
      const cut = file.subarray(0, Math.round(kept * file.length))
      const found = pngChunks(cut).map(({ type: name, start, end }) => [name, file.subarray(start, end)])
      let end = 8
      const whole = parts.filter((part) => {
        end += part.length
        return end <= cut.length
      })
      assert.equal(
        found,
        whole.map((part) => [part.toString('latin1', 4, 8), part]),
      )
    }),
    { runs: 200 },
  )
})

test('a PNG whose header has any wrong bit is damaged before it is decoded', async () => {
  const png = await sampleImage('image/png', 9, 7)
  assert.is(checkPng(png).state, 'whole')
  // Width to interlacing, and their checksum.
  await checkProperty(
    fc.property(fc.integer({ min: 16, max: 32 }), fc.nat(7), (at, bit) => {
      const file = Buffer.from(png)
      file.writeUInt8(file.readUInt8(at) ^ (1 << bit), at)
      assert.is(checkPng(file).state, 'damaged')
    }),
    { runs: 100 },
  )
})

test.run()
