import { AppError } from '@millrace/shared/service/app-error.ts'
import type { Sharp } from 'sharp'
import type { OpenedImage, OpenLimits, Selection } from '../pixels/opened-image.ts'
import { checkPixels, formatCount } from '../pixels/pixel-limit.ts'
import { type Size, shrinkRaster } from '../pixels/raster.ts'
import { sharp } from '../pixels/sharp-setup.ts'
import { type Apng, type ApngFrame, readApng, writeFramePng } from '../structure/apng-structure.ts'
import { partLimits } from '../structure/structure.ts'
import { corruptImage } from './corrupt-image.ts'
import { openLibvipsImage } from './libvips-image.ts'

/** Red, green, blue, alpha. */
const channels = 4

/**
 * Reads the header of an animated PNG. libvips decodes its still image only, and each frame as a PNG of its own; the frames
 * are drawn here.
 *
 * @throws AppError `image_corrupt`, `image_not_supported`, `image_too_many_pixels`, `image_too_complex`
 */
export async function openApngImage(
  kind: 'image/apng',
  file: Buffer,
  limits: OpenLimits,
): Promise<OpenedImage> {
  const still = await openLibvipsImage(kind, file, limits)
  const apng = readApng(file)
  if (!apng) {
    return {
      ...still,
      warnings: [...still.warnings, 'The animation of the PNG is damaged; its still image is used.'],
    }
  }
  const frames = apng.frames.length
  if (frames > partLimits.frames) {
    throw new AppError('image_too_complex', {
      message: `The PNG has more than ${formatCount(partLimits.frames)} frames, which is the limit.`,
      limit: partLimits.frames,
    })
  }
  checkPixels({ ...apng, frames }, limits.maxPixels)
  const warnings =
    frames < apng.declaredFrames
      ? [`The file has ${frames} of the ${apng.declaredFrames} frames of the PNG.`]
      : []
  return {
    ...still,
    // Browsers ignore EXIF's orientation of an animation.
    ...(frames > 1 && { width: apng.width, height: apng.height }),
    frames,
    warnings: [...still.warnings, ...warnings],
    async decode<Result>(selection: Selection, use: (picture: Sharp) => Promise<Result>) {
      const isStill = !selection.isAnimated && selection.page === 0 && still.width === apng.width
      if (frames === 1 || isStill) return still.decode(selection, use)
      let picture: Sharp
      try {
        picture = selection.isAnimated
          ? await allFrames(file, apng, selection.size)
          : await oneFrame(file, apng, selection.page)
      } catch (error) {
        throw corruptImage(kind, file, error)
      }
      return use(picture)
    },
  }
}

async function oneFrame(file: Buffer, apng: Apng, page: number): Promise<Sharp> {
  let shown = Buffer.alloc(0)
  let index = 0
  await drawFrames(file, apng, async (canvas) => {
    if (index === page) shown = Buffer.from(canvas)
    index += 1
    return index <= page
  })
  return sharp(shown, { raw: { width: apng.width, height: apng.height, channels } })
}

async function allFrames(file: Buffer, apng: Apng, size: Size): Promise<Sharp> {
  const column: Buffer[] = []
  await drawFrames(file, apng, async (canvas) => {
    const frame = await shrinkRaster({ data: canvas, width: apng.width, height: apng.height, channels }, size)
    // Without a change of size it is the canvas itself, which the next frame changes.
    column.push(frame.data === canvas ? Buffer.from(canvas) : frame.data)
    return true
  })
  return sharp(Buffer.concat(column), {
    animated: true,
    raw: { width: size.width, height: size.height * column.length, channels, pageHeight: size.height },
  }).webp({ delay: apng.frames.map(({ delayMs }) => delayMs), loop: apng.plays })
}

/**
 * Draws the frames one after the other on a canvas, which is transparent at first.
 *
 * @param show gets the canvas with each frame; it ends the drawing by false
 */
async function drawFrames(
  file: Buffer,
  { width, height, frames }: Apng,
  show: (canvas: Buffer) => Promise<boolean>,
): Promise<void> {
  const canvas = Buffer.alloc(width * height * channels)
  for (const [index, frame] of frames.entries()) {
    const pixels = await decodeFrame(file, frame)
    const before = frame.dispose === 'previous' && index > 0 ? copyOf(canvas, width, frame) : undefined
    draw(canvas, width, frame, pixels)
    if (!(await show(canvas))) return
    // The first frame has nothing before it, so it is disposed of to transparency.
    if (before) paste(canvas, width, frame, before)
    else if (frame.dispose !== 'none')
      paste(canvas, width, frame, Buffer.alloc(frame.width * frame.height * channels))
  }
}

async function decodeFrame(file: Buffer, frame: ApngFrame): Promise<Buffer> {
  return sharp(writeFramePng(file, frame), { failOn: 'warning' })
    .toColourspace('srgb')
    .ensureAlpha()
    .raw({ depth: 'uchar' })
    .toBuffer()
}

type Place = Pick<ApngFrame, 'x' | 'y' | 'width' | 'height'>

function copyOf(canvas: Buffer, canvasWidth: number, { x, y, width, height }: Place): Buffer {
  const copy = Buffer.alloc(width * height * channels)
  for (let row = 0; row < height; row++) {
    const start = ((y + row) * canvasWidth + x) * channels
    canvas.copy(copy, row * width * channels, start, start + width * channels)
  }
  return copy
}

function paste(canvas: Buffer, canvasWidth: number, { x, y, width, height }: Place, pixels: Buffer): void {
  for (let row = 0; row < height; row++) {
    const start = ((y + row) * canvasWidth + x) * channels
    pixels.copy(canvas, start, row * width * channels, (row + 1) * width * channels)
  }
}

function draw(canvas: Buffer, canvasWidth: number, frame: ApngFrame, pixels: Buffer): void {
  if (frame.blend === 'source') {
    paste(canvas, canvasWidth, frame, pixels)
    return
  }
  const { x, y, width, height } = frame
  for (let row = 0, from = 0; row < height; row++) {
    let to = ((y + row) * canvasWidth + x) * channels
    for (let column = 0; column < width; column++, from += channels, to += channels)
      over(canvas, to, pixels, from)
  }
}

/** Draws one pixel over another, both not premultiplied (PNG specification, 13.16). */
function over(canvas: Buffer, to: number, pixels: Buffer, from: number): void {
  const alpha = pixels[from + 3] ?? 0
  if (alpha === 0) return
  const below = ((canvas[to + 3] ?? 0) * (255 - alpha)) / 255
  const sum = alpha + below
  for (let channel = 0; channel < 3; channel++) {
    const blended = ((pixels[from + channel] ?? 0) * alpha + (canvas[to + channel] ?? 0) * below) / sum
    canvas[to + channel] = Math.round(blended)
  }
  canvas[to + 3] = Math.round(sum)
}
