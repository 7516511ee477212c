import { crc32, deflateSync } from 'node:zlib'
import { readPresets } from '@millrace/shared/presets/read-presets.ts'
import { watermarkProblem } from '@millrace/shared/presets/watermark-problem.ts'
import fc from 'fast-check'
import * as assert from 'uvu/assert'
import { checkProperty } from '../../support/check-property.ts'
import { suite } from '../../support/suite.ts'
import { pngChunk } from '../../worker/support/odd-images.ts'

const test = suite('variant problems')

/** The problems of a preset with one variant. Their beginning, the same for all, is left out. */
function problemsOf(settings: object): string[] {
  const variant = { name: 'a', format: 'webp', ...settings }
  const problems: string[] = []
  readPresets({ PRESETS: JSON.stringify([{ name: 'p', variants: [variant] }]) }, (problem) =>
    problems.push(problem.replace('PRESETS[0].variants[0]', '')),
  )
  return problems
}

/** A PNG of one transparent pixel, in base64. */
const pixel =
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=='
/** Shows settings in the name of a test, without the bytes of a picture. */
function described(settings: object): string {
  return JSON.stringify(settings).replace(/"[A-Za-z0-9+/=]{50,}"/, (text) => `(${text.length} characters)`)
}

const box = { width: 100, height: 100 }

for (const settings of [
  {},
  { width: 100 },
  { height: 100, fit: 'outside' },
  { ...box, fit: 'cover', position: 'attention' },
  { ...box, fit: 'cover', position: 'focus', animated: true },
  { ...box, fit: 'contain', position: 'left top', background: 'transparent' },
  { ...box, fit: 'fill', withoutEnlargement: false },
  { width: 10_000, height: 10_000, fit: 'contain' },
  { width: 10_000, height: 10_000, withoutEnlargement: false },
  { format: 'original', quality: 70, animated: true },
  { lossless: true, effort: 6 },
  { lossless: false, quality: 80 },
  { format: 'jpeg', background: '#FFF' },
  { format: 'jpeg', background: '#ffffffff' },
  { sharpen: true },
  { sharpen: 1.5, animated: false },
  { sharpen: false, blur: 20 },
  { keepMetadata: true },
  { keepMetadata: ['icc', 'copyright'], gamut: 'p3' },
  { watermark: { image: pixel } },
  { watermark: { image: pixel, position: 'center', opacity: 0, scale: 1, margin: 0.4 } },
  { page: 2, frame: 3 },
]) {
  test(`a variant with ${described(settings)} is accepted`, () => {
    assert.equal(problemsOf(settings), [])
  })
}

for (const [settings, ...problems] of [
  [{ fit: 'cover', height: 9 }, '.width is missing; fit "cover" requires it.'],
  [
    { fit: 'contain' },
    '.width is missing; fit "contain" requires it.',
    '.height is missing; fit "contain" requires it.',
  ],
  [{ fit: 'fill', width: 9 }, '.height is missing; fit "fill" requires it.'],
  [
    { fit: 'contain', width: 16_383, height: 16_383 },
    ': width × height is 268402689; with fit "contain" it must be at most 100000000.',
  ],
  [
    { width: 16_383, height: 16_383, withoutEnlargement: false },
    ': width × height is 268402689; with withoutEnlargement false it must be at most 100000000.',
  ],
  [{ width: 9, position: 'top' }, '.position is "top"; only the fits "cover" and "contain" have a position.'],
  [
    { ...box, fit: 'contain', position: 'focus' },
    '.position is "focus"; with fit "contain" nothing is cropped, so it must be a side, a corner or center.',
  ],
  [
    { ...box, fit: 'cover', position: 'entropy', animated: true },
    '.position is "entropy"; an animated variant has a fixed position or focus.',
  ],
  [
    { ...box, fit: 'cover', position: 'middle' },
    '.position is "middle"; allowed: center, top, right top, right, right bottom, bottom, left bottom, left, left top, attention, entropy, focus.',
  ],
  [{ format: 'original', effort: 3 }, '.effort is 3; original has no effort, so it must be left out.'],
  [{ format: 'jpeg', lossless: true }, '.lossless is true; only webp and avif can be lossless or not.'],
  [{ lossless: true, quality: 90 }, '.quality is 90; a lossless variant has none.'],
  [{ format: 'jpeg', background: '#ffffff80' }, '.background is "#ffffff80"; jpeg has no transparency.'],
  [
    { background: 'red' },
    '.background is "red"; it must be a colour such as #ffffff, #ffffff80 or transparent.',
  ],
  [{ format: 'avif', animated: true }, '.animated is true; avif variants are not animated.'],
  [{ animated: true, frame: 2 }, '.frame is set, so animated must not be true.'],
  [{ animated: true, blur: 2 }, '.blur is 2; an animated variant cannot have it.'],
  [{ animated: true, sharpen: true }, '.sharpen is true; an animated variant cannot have it.'],
  [{ blur: 3, sharpen: 1 }, '.sharpen is 1; a blurred variant cannot be sharpened.'],
  [{ blur: 101 }, '.blur is 101; it must be a number from 0.3 to 100.'],
  [{ sharpen: 11 }, '.sharpen is 11; it must be true, false, or a number from 0.3 to 10.'],
  [
    { keepMetadata: ['gps'] },
    '.keepMetadata is a list; it must be true, false, or a list of copyright and icc.',
  ],
  [{ gamut: 'rec2020' }, '.gamut is "rec2020"; allowed: srgb, p3.'],
  [{ page: 0 }, '.page is 0; it must be an integer from 1 to 100000.'],
  [{ watermark: {} }, '.watermark.image is missing.'],
  [{ watermark: { image: 'aGVsbG8=' } }, '.watermark.image is no PNG file.'],
  [{ watermark: { image: pixel.slice(0, 60) } }, '.watermark.image is a damaged PNG file.'],
  [
    { watermark: { image: 'a'.repeat(65_537) } },
    `.watermark.image is "${'a'.repeat(59)}…; it must be a PNG file in base64, at most 65536 characters.`,
    '.watermark.image is no PNG file.',
  ],
  [
    { watermark: { image: pixel, opacity: 2, file: 'a.png' } },
    '.watermark.opacity is 2; it must be a number from 0 to 1.',
    '.watermark.file is unknown; allowed: image, position, opacity, scale, margin.',
  ],
] satisfies [object, ...string[]][]) {
  test(`a variant with ${described(settings)} is refused`, () => {
    assert.equal(problemsOf(settings), problems)
  })
}

test('a watermark of too many pixels is refused by its header', () => {
  const file = Buffer.from(pixel, 'base64')
  file.writeUInt32BE(2049, 16)
  assert.is(watermarkProblem(file.toString('base64')), 'is a damaged PNG file', 'its CRC is wrong')
  file.writeUInt32BE(crc32(file.subarray(12, 29)), 29)
  assert.is(
    watermarkProblem(file.toString('base64')),
    'has 2049 × 1 pixels; it must have at most 2048 on each side',
  )
})

test('a watermark of 2048 pixels on each side is accepted', () => {
  const header = Buffer.from('0000080000000800' + '0806000000', 'hex')
  const rows = deflateSync(Buffer.alloc(2048 * (1 + 2048 * 4)))
  const file = Buffer.concat([
    Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'),
    pngChunk('IHDR', header),
    pngChunk('IDAT', rows),
    pngChunk('IEND', Buffer.alloc(0)),
  ])
  assert.is(watermarkProblem(file.toString('base64')), undefined)
})

test('a watermark whose rows cannot be unpacked is damaged, although all its checksums are right', () => {
  const file = Buffer.from(pixel, 'base64')
  const data = file.indexOf('IDAT') + 4
  const length = file.readUInt32BE(data - 8)
  // RFC 1950: the first byte names the compression.
  file.writeUInt8(0, data)
  file.writeUInt32BE(crc32(file.subarray(data - 4, data + length)), data + length)
  assert.is(watermarkProblem(file.toString('base64')), 'is a damaged PNG file')
})

test('a watermark with any change of a byte, or a cut, is refused', async () => {
  const file = Buffer.from(pixel, 'base64')
  const bytes = fc.record({ at: fc.nat(file.length - 1), with: fc.uint8Array({ maxLength: 4 }) })
  await checkProperty(
    fc.property(bytes, fc.nat(file.length), (change, end) => {
      const changed = Buffer.from(file)
      Buffer.from(change.with).copy(changed, change.at)
      const sent = changed.subarray(0, end)
      assert.is(watermarkProblem(sent.toString('base64')) === undefined, sent.equals(file))
    }),
    { runs: 500 },
  )
})

test.run()
