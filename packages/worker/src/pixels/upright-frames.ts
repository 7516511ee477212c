import type { Metadata, Sharp } from 'sharp'
import type { Size } from '../pixels/raster.ts'
import { sharp } from '../pixels/sharp-setup.ts'

/**
 * Turns each frame of an animation as EXIF says. sharp turns a column of frames only as a whole.
 *
 * @param picture all frames, as stored
 * @param header of the file
 * @param size of one frame as displayed, in which the frames are decoded
 * @returns all frames upright, with the times of the file
 */
export async function uprightFrames(picture: Sharp, header: Metadata, size: Size): Promise<Sharp> {
  const orientation = header.orientation ?? 1
  const stored = orientation >= 5 ? { width: size.height, height: size.width } : size
  const { data, info } = await picture
    .resize({ ...stored, fit: 'fill' })
    .toColourspace('srgb')
    .raw({ depth: 'uchar' })
    .toBuffer({ resolveWithObject: true })
  const frames = Math.round(info.height / stored.height)
  const frameBytes = stored.width * stored.height * info.channels
  const turned = Buffer.alloc(data.length)
  for (let frame = 0; frame < frames; frame++) {
    const from = data.subarray(frame * frameBytes, (frame + 1) * frameBytes)
    turnFrame(from, turned.subarray(frame * frameBytes), stored, info.channels, orientation)
  }
  const { width, height } = size
  return sharp(turned, {
    animated: true,
    raw: { width, height: height * frames, channels: info.channels, pageHeight: height },
  }).webp({
    ...(header.delay && { delay: header.delay }),
    ...(header.loop !== undefined && { loop: header.loop }),
  })
}

/** EXIF 2.32, tag 274: where the stored first row and column are displayed. */
function turnFrame(from: Buffer, to: Buffer, stored: Size, channels: number, orientation: number): void {
  const isTransposed = orientation >= 5
  const isMirrored = [2, 3, 7, 8].includes(orientation)
  const isFlipped = [3, 4, 6, 7].includes(orientation)
  const width = isTransposed ? stored.height : stored.width
  for (let row = 0, at = 0; row < stored.height; row++) {
    const y = isFlipped ? stored.height - 1 - row : row
    for (let column = 0; column < stored.width; column++) {
      const x = isMirrored ? stored.width - 1 - column : column
      const target = (isTransposed ? x * width + y : y * width + x) * channels
      for (let channel = 0; channel < channels; channel++, at++) to[target + channel] = from[at] ?? 0
    }
  }
}
