import { deflateSync } from 'node:zlib'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { flagColours, flagPicture } from '../support/colours.ts'
import { fixtureImage } from '../support/fixture-images.ts'
import { apngFile, pngChunk } from '../support/odd-images.ts'
import { oddJpegs } from '../support/odd-jpegs.ts'
import { oddPngs, oddWebps, pngFile } from '../support/odd-pngs-and-webps.ts'
import { damaged } from '../support/sample-images.ts'
import { startTestDecoders } from '../support/start-test-decoders.ts'
import { flagTiff } from '../support/tiff-files.ts'

// A thousand decodes by a few processes, or ten times as many.
const test = suite('odd files in decoders', {}, { limitMs: 300_000 })
/** `ODD_COPIES=200 npm test -- odd-files` takes 100 s of CPU. Any dependence on neighbours shows in fewer copies too. */
const copies = Number(process.env.ODD_COPIES ?? 8)
let decoders: ReturnType<typeof startTestDecoders>
test.before(() => {
  decoders = startTestDecoders()
})
test.after(() => decoders.close())

/** All odd files that are whole, by name. */
async function oddFiles(): Promise<Record<string, Buffer>> {
  const raw = Buffer.concat(
    Array.from({ length: 8 }, () =>
      Buffer.concat([Buffer.alloc(1), Buffer.from(flagColours.flat().concat(flagColours.flat()))]),
    ),
  )
  const header = Buffer.from([0, 0, 0, 8, 0, 0, 0, 8, 8, 2, 0, 0, 0])
  const png = pngFile(
    pngChunk('IHDR', header),
    pngChunk('IDAT', deflateSync(raw)),
    pngChunk('IEND', Buffer.alloc(0)),
  )
  const jpeg = await flagPicture().jpeg({ quality: 95 }).toBuffer()
  const webp = await flagPicture().webp({ lossless: true, effort: 0 }).toBuffer()
  const frame = {
    width: 4,
    height: 4,
    x: 0,
    y: 0,
    dispose: 0,
    blend: 0,
    delay: [1, 10],
    pixels: Buffer.alloc(64, 99),
  } as const
  const tiff = (bits: number, tags: Record<number, number[]>) =>
    flagTiff({
      samples: 3,
      bits,
      tags,
      pixel: (colour) => Buffer.from(colour.flatMap((value) => Array(bits / 8).fill(value >> 2))),
    })
  const fixtures = [
    'tiff-ascii-no-nul.tif',
    'tiff-tags-unsorted.tif',
    'tiff-four-bitspersample.tif',
    'tiff-pagenumber-one.tif',
    'jpeg-restarts.jpg',
    'jpeg-two-pictures.mpo.jpg',
    'avif-pq.avif',
    'avif-turned-by-irot.avif',
  ]
  const named = (prefix: string, files: Record<string, Buffer>) =>
    Object.entries(files).map(([name, bytes]) => [`${prefix}: ${name}`, bytes] as const)
  return Object.fromEntries([
    ...named('JPEG', oddJpegs(jpeg)),
    ...named('PNG', oddPngs(png, raw)),
    ...named('WebP', oddWebps(webp)),
    ['APNG', apngFile(4, 4, [frame, frame])],
    ['TIFF: signed', tiff(16, { 339: [2, 2, 2] })],
    ['TIFF: 12 bits', tiff(16, { 281: [32_767, 32_767, 32_767] })],
    ...(await Promise.all(fixtures.map(async (name) => [name, await fixtureImage(name)] as const))),
  ])
}

test('many copies of each odd file, eight at a time beside damaged ones, are all rendered', async () => {
  const odd = Object.entries(await oddFiles())
  const hurt = damaged(
    await flagPicture().resize(320, 240, { kernel: 'nearest' }).jpeg({ quality: 95 }).toBuffer(),
  )
  function* files() {
    for (let copy = 0; copy < copies; copy++) {
      for (const [name, bytes] of odd) yield { name, bytes }
      yield { name: 'damaged', bytes: hurt }
    }
  }
  const { damaged: rejected, ...found } = await decoders.outcomes(files())
  assert.equal(found, Object.fromEntries(odd.map(([name]) => [name, { ready: copies }])))
  assert.equal(rejected, { image_corrupt: copies })
})

test.run()
