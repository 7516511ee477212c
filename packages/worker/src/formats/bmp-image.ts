import { AppError } from '@millrace/shared/service/app-error.ts'
import { decodeBmpPixels, isDecodableBmp } from '../pixels/bmp-pixels.ts'
import type { OpenedImage, OpenLimits } from '../pixels/opened-image.ts'
import { checkPixels } from '../pixels/pixel-limit.ts'
import { createProfiledPixels, type ProfiledPixels } from '../pixels/profiled-pixels.ts'
import { type BmpLayout, checkBmp, readBmpLayout } from '../structure/bmp-structure.ts'
import { structureError } from './corrupt-image.ts'
import { type ImageKind, imageKindNames } from './image-kind.ts'

/**
 * Reads the header of a BMP: of Windows with all its versions, or of OS/2.
 *
 * @throws AppError `image_corrupt`, `image_too_many_pixels`, `image_not_supported`
 */
export async function openBmpImage(
  kind: 'image/bmp',
  file: Buffer,
  { maxPixels }: OpenLimits,
): Promise<OpenedImage> {
  const layout = checkedLayout(kind, file, readBmpLayout(file), maxPixels)
  const { width, height } = layout
  return openedPicture({ width, height }, () => decode(kind, file, layout))
}

/**
 * Checks the header of a bitmap before its pixels are decoded.
 * @throws AppError `image_corrupt`, `image_too_many_pixels`, `image_not_supported`
 */
export function checkedLayout(
  kind: ImageKind,
  file: Buffer,
  layout: BmpLayout | undefined,
  maxPixels: number,
): BmpLayout {
  if (layout) {
    checkPixels({ ...layout, frames: 1 }, maxPixels)
    if (!isDecodableBmp(layout)) {
      throw new AppError('image_not_supported', {
        message: `The ${imageKindNames[kind]} uses the compression ${layout.compression} with ${layout.bitsPerPixel} bits per pixel, which is not supported. It is not damaged.`,
      })
    }
  }
  const { state, reason } = checkBmp(file, layout)
  if (!layout || state !== 'whole')
    throw structureError(kind, state === 'whole' ? 'damaged' : state, new Error(reason))
  return layout
}

/** Makes an image of one picture that is decoded when it is needed. */
export function openedPicture(
  size: { width: number; height: number },
  decodePicture: () => ProfiledPixels,
): OpenedImage {
  let decoded: ProfiledPixels | undefined
  return {
    ...size,
    frames: 1,
    pages: 1,
    isVector: false,
    warnings: [],
    async decode(_selection, use) {
      decoded ??= decodePicture()
      return use(decoded.open())
    },
  }
}

function decode(kind: ImageKind, file: Buffer, layout: BmpLayout): ProfiledPixels {
  const channels = layout.masks[3] !== 0 && layout.bitsPerPixel > 8 ? 4 : 3
  const profile = layout.profile && file.subarray(layout.profile.start, layout.profile.end)
  const target = createProfiledPixels({ ...layout, channels }, profile)
  const { isComplete, hasVisibleAlpha } = decodeBmpPixels(file, layout, channels, target.pixels)
  if (!isComplete) throw structureError(kind, 'truncated', new Error('It ends before its last row.'))
  // Programs that know no alpha write 0. Browsers show such pictures.
  if (channels === 4 && !hasVisibleAlpha) {
    for (let at = 3; at < target.pixels.length; at += 4) target.pixels[at] = 255
  }
  return target
}
