import sharp from 'sharp'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { flagColours, flagPicture, largestDifference, outcomeOf, renderFile } from '../support/colours.ts'
import { fixtureImage } from '../support/fixture-images.ts'
import { jpegSegment, oddJpegs } from '../support/odd-jpegs.ts'

const test = suite('odd JPEG files')
const kind = 'image/jpeg'
const flag = () => flagPicture().jpeg({ quality: 95, chromaSubsampling: '4:4:4' }).toBuffer()

/** Returns a copy in which bytes after the frame header's marker are replaced. */
async function withFrame(change: (file: Buffer, at: number) => void): Promise<Buffer> {
  const file = await flag()
  change(file, file.indexOf(Buffer.from([0xff, 0xc0])))
  return file
}

for (const [name, file] of Object.entries(oddJpegs(await flag()))) {
  test(`a JPEG with ${name} has all pixels`, async () => {
    const { image, colours } = await renderFile(kind, file)
    assert.is(`${image.width}×${image.height}`, '64×48')
    assert.ok(largestDifference(colours, flagColours) < 2, JSON.stringify(colours))
  })
}

test('restart markers with wrong numbers are no damage, and a missing part is', async () => {
  const file = await fixtureImage('jpeg-restarts.jpg')
  const wrong = Buffer.from(file)
  for (let at = wrong.indexOf(0xff, 400); at !== -1; at = wrong.indexOf(0xff, at + 1)) {
    if ((wrong[at + 1] ?? 0) >= 0xd0 && (wrong[at + 1] ?? 0) <= 0xd7) wrong[at + 1] = 0xd0
  }
  const { colours } = await renderFile(kind, wrong)
  assert.ok(largestDifference(colours, flagColours) < 2, JSON.stringify(colours))
  const restart = Buffer.from([0xff, 0xd0])
  const [start, end] = [wrong.indexOf(restart), wrong.lastIndexOf(restart)]
  const missing = Buffer.concat([wrong.subarray(0, start), wrong.subarray(end)])
  assert.match(await outcomeOf(kind, missing), /^image_corrupt/)
})

test('a JPEG with arithmetic coding is rendered, and is incomplete without its end', async () => {
  const file = await fixtureImage('jpeg-arithmetic.jpg')
  const { colours } = await renderFile(kind, file)
  assert.ok(largestDifference(colours, flagColours) < 2, JSON.stringify(colours))
  assert.match(await outcomeOf(kind, file.subarray(0, -40)), /^image_corrupt: The JPEG is incomplete/)
})

test('an MPO is shown by its first picture', async () => {
  const { colours } = await renderFile(kind, await fixtureImage('jpeg-two-pictures.mpo.jpg'))
  assert.ok(largestDifference(colours, flagColours) < 2, JSON.stringify(colours))
})

test('CMYK is shown in the colours of its numbers, with and without the inversion of Adobe', async () => {
  const file = await sharp(await flag())
    .toColourspace('cmyk')
    .jpeg({ quality: 95, chromaSubsampling: '4:4:4' })
    .toBuffer()
  const { colours } = await renderFile(kind, file)
  // Through the profile of an offset press, not all colours of the flag are possible.
  assert.ok(largestDifference(colours, flagColours) < 40, JSON.stringify(colours))
})

const unsupported = {
  'of the lossless process': [
    (file, at) => file.writeUInt8(0xc3, at + 1),
    'The JPEG is lossless, which is not supported.',
  ],
  'of a hierarchical process': [
    (file, at) => file.writeUInt8(0xc5, at + 1),
    'The JPEG is hierarchical, which is not supported.',
  ],
  'of 12 bits': [
    (file, at) => file.writeUInt8(12, at + 4),
    'The JPEG has 12 bits per sample, which is not supported.',
  ],
  'without a height': [
    (file, at) => file.writeUInt16BE(0, at + 5),
    'The JPEG states its height after its first scan, which is not supported.',
  ],
} satisfies Record<string, [(file: Buffer, at: number) => unknown, string]>

for (const [name, [change, message]] of Object.entries(unsupported)) {
  test(`a JPEG ${name} is not supported, and not damaged`, async () => {
    assert.is(await outcomeOf(kind, await withFrame(change)), `image_not_supported: ${message}`)
  })
}

test('a JPEG that is cut, whatever follows, is rejected', async () => {
  const photo = await flagPicture().resize(320, 240, { kernel: 'nearest' }).jpeg({ quality: 95 }).toBuffer()
  const half = photo.subarray(0, photo.length / 2)
  for (const end of [[], [0xff, 0xd9], Array(5_000).fill(0)]) {
    assert.match(await outcomeOf(kind, Buffer.concat([half, Buffer.from(end)])), /^image_corrupt/)
  }
  assert.match(
    await outcomeOf(kind, Buffer.concat([half, jpegSegment(0xe5, Buffer.from('zz'))])),
    /incomplete/,
  )
})

test('Display P3 is converted to sRGB', async () => {
  // Computed with the matrices of CSS Color 4.
  const expected = [
    [218, 0, 0],
    [0, 182, 30],
    [24, 50, 197],
    [223, 198, 0],
  ]
  const file = await flagPicture()
    .withIccProfile('p3')
    .jpeg({ quality: 98, chromaSubsampling: '4:4:4' })
    .toBuffer()
  assert.ok(file.includes('ICC_PROFILE'))
  // sharp converts the numbers to the profile, so the colours are the flag's.
  const { colours } = await renderFile(kind, file)
  assert.ok(largestDifference(colours, flagColours) < 3, JSON.stringify(colours))
  const profile = (await sharp(file).metadata()).icc
  assert.ok(profile)
  // The flag's numbers, taken for those of the profile.
  const plain = await flag()
  const segment = jpegSegment(0xe2, Buffer.concat([Buffer.from('ICC_PROFILE\0\x01\x01', 'latin1'), profile]))
  const relabelled = await renderFile(kind, Buffer.concat([plain.subarray(0, 2), segment, plain.subarray(2)]))
  assert.ok(largestDifference(relabelled.colours, expected) < 5, JSON.stringify(relabelled.colours))
})

test('Adobe RGB and grey with a profile are converted to sRGB', async () => {
  // The flag's numbers, converted by LittleCMS 2.14 (Pillow's ImageCms, perceptual).
  const adobe = [
    [233, 24, 11],
    [0, 181, 42],
    [5, 46, 195],
    [228, 201, 0],
  ]
  const jpeg = await renderFile(kind, await fixtureImage('jpeg-adobe-rgb.jpg'))
  assert.ok(largestDifference(jpeg.colours, adobe) < 1.5, JSON.stringify(jpeg.colours))
  const png = await renderFile('image/png', await fixtureImage('png-adobe-rgb.png'))
  assert.ok(largestDifference(png.colours, adobe) < 0.5, JSON.stringify(png.colours))
  const grey = await renderFile('image/png', await fixtureImage('png-linear-grey.png'))
  assert.ok(
    largestDifference(
      grey.colours,
      [152, 185, 133, 223].map((value) => [value, value, value]),
    ) < 0.5,
  )
})

test.run()
