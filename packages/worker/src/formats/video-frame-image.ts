import { AppError } from '@millrace/shared/service/app-error.ts'
import { readVideoFrame, uprightSize } from '../headers/video-frame.ts'
import type { videoFrameKind } from '../headers/video-frame-kind.ts'
import { decodeFrame } from '../media/run-ffmpeg.ts'
import type { OpenedImage, OpenLimits } from '../pixels/opened-image.ts'
import { checkPixels } from '../pixels/pixel-limit.ts'
import { openRaster } from '../pixels/raster.ts'

/**
 * Opens a frame of a video, which ffmpeg decodes.
 *
 * @throws AppError `image_too_many_pixels`, or `image_not_supported` if there is no ffmpeg
 */
export async function openVideoFrame(
  _kind: typeof videoFrameKind,
  file: Buffer,
  { maxPixels, ffmpeg }: OpenLimits,
): Promise<OpenedImage> {
  const frame = readVideoFrame(file)
  if (!frame) throw new Error('The file is no frame of a video.')
  const size = uprightSize(frame.geometry)
  checkPixels({ ...size, frames: 1 }, maxPixels)
  if (ffmpeg === undefined) throw new AppError('image_not_supported')
  let pixels: Buffer | undefined

  return {
    ...size,
    frames: 1,
    pages: 1,
    isVector: false,
    warnings: [],
    async decode(_selection, use) {
      pixels ??= await decodeFrame(ffmpeg, frame, maxPixels).catch((cause: unknown) => {
        throw new AppError('image_corrupt', { message: 'The frame of the video cannot be decoded.', cause })
      })
      return use(openRaster({ data: pixels, ...size, channels: 3 }))
    },
  }
}
