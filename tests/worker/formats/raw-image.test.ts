import type { ImageKind } from '@millrace/worker/formats/image-kind.ts'
import { readImageHeader } from '@millrace/worker/headers/image-header.ts'
import { readRawStructure } from '@millrace/worker/tiff/raw-structure.ts'
import { detectMediaType } from '@millrace/worker/types/detect-type.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import {
  makeCr3,
  makeFujifilmRaw,
  makeOlympusRaw,
  makePanasonicRaw,
  makeTiffRaw,
  type RawOptions,
} from '../support/raw-builder.ts'
import { renderFile } from '../support/render-file.ts'
import { quarters, samplePicture } from '../support/sample-images.ts'

const test = suite('camera raw files')

function jpeg(width: number, height: number): Promise<Buffer> {
  return samplePicture(width, height).jpeg({ quality: 80 }).toBuffer()
}

const makers: [string, ImageKind, (options: RawOptions) => Buffer][] = [
  ['DNG, little-endian', 'image/x-adobe-dng', makeTiffRaw],
  ['NEF, big-endian', 'image/x-nikon-nef', (options) => makeTiffRaw({ ...options, big: true })],
  [
    'DNG with its preview as a strip',
    'image/x-adobe-dng',
    (options) => makeTiffRaw({ ...options, isStrip: true }),
  ],
  ['CR2', 'image/x-canon-cr2', makeTiffRaw],
  ['ARW', 'image/x-sony-arw', makeTiffRaw],
  ['PEF', 'image/x-pentax-pef', (options) => makeTiffRaw({ ...options, big: true })],
  ['ORF with its preview in the maker’s note', 'image/x-olympus-orf', makeOlympusRaw],
  ['RW2', 'image/x-panasonic-rw2', makePanasonicRaw],
  ['CR3 with a track', 'image/x-canon-cr3', makeCr3],
  ['CR3 with a preview box', 'image/x-canon-cr3', (options) => makeCr3({ ...options, isTrack: false })],
]

for (const [name, kind, make] of makers) {
  test(`the picture of a raw file is its preview, upright, and said so: ${name}`, async () => {
    const file = make({ preview: await jpeg(1200, 800), orientation: 6 })
    const { outcome, size, image, variant } = await renderFile(file, { kind, width: 100 })
    assert.equal([outcome, size], ['ready', '800×1200'])
    assert.is(await quarters(variant), 'blue red yellow green')
    assert.equal(image?.warnings, [
      "The picture is the camera's embedded preview of 800 × 1200 pixels; the raw data of 4000 × 6000 is not decoded.",
    ])
    const header = readImageHeader(kind, file)
    assert.equal([header?.width, header?.height], [1200, 800])
  })
}

test('the preview of a RAF has its own orientation', async () => {
  const preview = await samplePicture(1200, 800).withMetadata({ orientation: 8 }).jpeg().toBuffer()
  const file = makeFujifilmRaw({ preview })
  assert.is(await detectMediaType(file.subarray(0, 4100)), 'image/x-fujifilm-raf')
  const { outcome, size, image, variant } = await renderFile(file, { width: 100 })
  assert.equal([outcome, size], ['ready', '800×1200'])
  assert.is(await quarters(variant), 'green yellow red blue')
  assert.match(image?.warnings[0] ?? '', 'the raw data of 6000 × 4000 is not decoded')
})

for (const orientation of [1, 2, 3, 4, 5, 6, 7, 8]) {
  test(`orientation ${orientation} of a raw file replaces that of its preview`, async () => {
    const plain = await samplePicture(1000, 600).withMetadata({ orientation }).jpeg().toBuffer()
    const odd = await samplePicture(1000, 600).withMetadata({ orientation: 3 }).jpeg().toBuffer()
    const expected = await renderFile(plain, { width: 60 })
    const { size, variant } = await renderFile(makeTiffRaw({ preview: odd, orientation }), {
      kind: 'image/x-adobe-dng',
      width: 60,
    })
    assert.equal([size, await quarters(variant)], [expected.size, await quarters(expected.variant)])
  })
}

test('the largest preview that decoders know is taken', async () => {
  const lossless = await jpeg(4000, 3000)
  // SOF3 is the lossless JPEG of a CR2's raw data.
  lossless[lossless.indexOf(Buffer.from([0xff, 0xc0])) + 1] = 0xc3
  const small = await jpeg(1200, 800)
  const withoutLarge = makeTiffRaw({ preview: lossless, more: [[46, { bytes: small }]] })
  assert.is((await renderFile(withoutLarge, { kind: 'image/x-canon-cr2' })).size, '1200×800')
  const withBoth = makeTiffRaw({ preview: await jpeg(1600, 1000), more: [[46, { bytes: small }]] })
  assert.is((await renderFile(withBoth, { kind: 'image/x-canon-cr2' })).size, '1600×1000')
})

test('a raw file with a damaged preview is not damaged itself', async () => {
  const whole = await jpeg(1600, 1000)
  const file = makeTiffRaw({ preview: whole.subarray(0, whole.length / 2) })
  const { outcome, message } = await renderFile(file, { kind: 'image/x-nikon-nef' })
  assert.is(outcome, 'image_not_supported')
  assert.is(message, 'The embedded preview of the NEF raw file is damaged; raw data is not decoded.')
})

test('a preview of less than 1,000 pixels is taken if it has half of the raw data’s size', async () => {
  const preview = await jpeg(640, 480)
  const small = makeTiffRaw({ preview, width: 1280, height: 960 })
  assert.equal((await renderFile(small, { kind: 'image/x-adobe-dng' })).outcome, 'ready')
  const large = await renderFile(makeTiffRaw({ preview, width: 1290, height: 960, orientation: 6 }), {
    kind: 'image/x-adobe-dng',
  })
  assert.equal([large.outcome, large.size], ['image_not_supported', '960×1290'])
  assert.match(large.message, 'no embedded preview')
})

for (const [name, kind, make] of makers) {
  test(`a raw file that is cut or changed has a named outcome and is never damaged: ${name}`, async () => {
    const whole = make({ preview: await jpeg(1000, 64), orientation: 6 })
    let seed = 3
    for (let round = 0; round < 24; round++) {
      const end = round % 3 === 0 ? (round * 997) % whole.length : whole.length
      const bytes = Buffer.from(whole.subarray(0, end))
      for (let flips = 0; flips < 8 && bytes.length > 0; flips++) {
        seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff
        // Most of what matters is at the ends.
        const reach = Math.min(bytes.length, 300)
        const at = seed % reach
        bytes[flips % 2 === 0 ? at : bytes.length - 1 - at] = (seed >> 12) & 0xff
      }
      const { outcome } = await renderFile(bytes, { kind })
      assert.ok(['ready', 'image_not_supported'].includes(outcome), outcome)
    }
  })
}

test('directories that contain themselves, and numbers beyond the end, are bounded', () => {
  const loop = makeTiffRaw({ more: [[34665, { longs: [16] }]] })
  assert.ok(readRawStructure(loop))
  const many = Buffer.concat([Buffer.from('II*\0\x08\0\0\0'), Buffer.alloc(3_000_000, 0xff)])
  assert.ok(readRawStructure(many))
  assert.is(readRawStructure(Buffer.from('FUJIFILMCCD-RAW ')), undefined)
  assert.is(readRawStructure(Buffer.from('not a raw file')), undefined)
})

test.run()
