import { AppError } from '@millrace/shared/service/app-error.ts'
import { openApngImage } from '@millrace/worker/formats/apng-image.ts'
import { checkFile } from '@millrace/worker/formats/libvips-image.ts'
import { checkPixels } from '@millrace/worker/pixels/pixel-limit.ts'
import { checkJpeg } from '@millrace/worker/structure/jpeg-structure.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { flagPicture } from '../support/colours.ts'
import { apngFile, pngChunk, repeatedScans } from '../support/odd-images.ts'
import { animation, sampleImage } from '../support/sample-images.ts'
import { tiffFile } from '../support/tiff-files.ts'

const test = suite('limits of parts')

/** Returns `accepted`, or the code, the message and the limit of a rejection. */
async function outcomeOf(check: () => unknown): Promise<string> {
  try {
    await check()
    return 'accepted'
  } catch (error) {
    if (!(error instanceof AppError)) throw error
    return `${error.code} ${error.limit}: ${error.message}`
  }
}

const progressive = await flagPicture().resize(16).jpeg({ progressive: true }).toBuffer()
const gif = await animation('image/gif', { width: 2, height: 2, frames: 2 })
const lastFrame = gif.subarray(gif.lastIndexOf(Buffer.from([0x21, 0xf9])), -1)
const webp = await animation('image/webp', { width: 2, height: 2, frames: 2 })
const png = await sampleImage('image/png', 2, 2)

function manyScans(count: number): Buffer {
  return repeatedScans(progressive, count - (checkJpeg(progressive).parts?.count ?? 0))
}

function manyGifFrames(count: number): Buffer {
  return Buffer.concat([gif.subarray(0, -1), ...Array(count - 2).fill(lastFrame), gif.subarray(-1)])
}

function manyWebpFrames(count: number): Buffer {
  const frame = webp.subarray(webp.lastIndexOf('ANMF'))
  const file = Buffer.concat([webp, ...Array(count - 2).fill(frame)])
  file.writeUInt32LE(file.length - 8, 4)
  return file
}

/** An animated PNG's header, and chunks before its image data. */
function manyChunks(count: number): Buffer {
  const empty = pngChunk('teXt', Buffer.alloc(0))
  const others = png.toString('latin1').match(/IHDR|pHYs|IDAT|IEND/g)?.length ?? 0
  return Buffer.concat([png.subarray(0, 33), ...Array(count - others).fill(empty), png.subarray(33)])
}

/** A TIFF with a picture, and empty pages after it. */
function manyPages(count: number): Buffer {
  const file = tiffFile({ 256: 1, 257: 1, 258: 8, 259: 1, 262: 1, 277: 1, 278: 1 }, [Buffer.alloc(1)])
  const directory = file.readUInt32LE(4)
  const padded = Buffer.concat([file, Buffer.alloc(file.length % 2)])
  const pages = Array.from({ length: count - 1 }, (_, index) => {
    const page = Buffer.alloc(6)
    const isLast = index === count - 2
    page.writeUInt32LE(isLast ? 0 : padded.length + 6 * (index + 1), 2)
    return page
  })
  padded.writeUInt32LE(padded.length, directory + 2 + 12 * file.readUInt16LE(directory))
  return Buffer.concat([padded, ...pages])
}

async function manyApngFrames(count: number): Promise<Buffer> {
  const pixels = Buffer.alloc(4, 255)
  const frame = { width: 1, height: 1, x: 0, y: 0, dispose: 0, blend: 0, delay: [1, 10], pixels } as const
  return apngFile(1, 1, Array(count).fill(frame))
}

for (const [name, limit, parts, check] of [
  ['JPEG', 100, 'scans', (count: number) => checkFile('image/jpeg', manyScans(count))],
  ['GIF', 5_000, 'frames', (count: number) => checkFile('image/gif', manyGifFrames(count))],
  ['WebP', 5_000, 'frames', (count: number) => checkFile('image/webp', manyWebpFrames(count))],
  ['PNG', 100_000, 'chunks', (count: number) => checkFile('image/png', manyChunks(count))],
  ['TIFF', 5_000, 'pages', (count: number) => checkFile('image/tiff', manyPages(count))],
  [
    'PNG',
    5_000,
    'frames',
    async (count: number) => openApngImage('image/apng', await manyApngFrames(count), { maxPixels: 1e6 }),
  ],
] as const) {
  test(`a ${name} of ${limit} ${parts} is accepted, and one of one more is rejected`, async () => {
    const shown = limit.toLocaleString('en-US')
    assert.is(await outcomeOf(() => check(limit)), 'accepted')
    assert.is(
      await outcomeOf(() => check(limit + 1)),
      `image_too_complex ${limit}: The ${name} has more than ${shown} ${parts}, which is the limit.`,
    )
  })
}

test('exactly the limit of pixels in all frames is accepted, and one more is rejected', async () => {
  const check = (width: number, height: number, frames: number) =>
    outcomeOf(() => checkPixels({ width, height, frames }, 1_000_000))
  assert.is(await check(1_000, 1_000, 1), 'accepted')
  assert.is(await check(1_000, 500, 2), 'accepted')
  assert.match(
    await check(1_000_001, 1, 1),
    'image_too_many_pixels 1000000: The image has 1000001 × 1 pixels, 1,000,001 in total; the limit is 1,000,000.',
  )
  assert.match(await check(1_000, 501, 2), '1000 × 501 pixels in 2 frames, 1,002,000 in total')
})

test.run()
