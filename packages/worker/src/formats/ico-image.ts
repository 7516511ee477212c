import { AppError } from '@millrace/shared/service/app-error.ts'
import { checkBeforeDecoding } from '../headers/image-structure.ts'
import { decodeBmpPixels } from '../pixels/bmp-pixels.ts'
import type { OpenedImage, OpenLimits } from '../pixels/opened-image.ts'
import { createProfiledPixels, type ProfiledPixels } from '../pixels/profiled-pixels.ts'
import { type BmpLayout, readBmpLayout } from '../structure/bmp-structure.ts'
import { type IconEntry, isPngIcon, largestIcon } from '../structure/ico-structure.ts'
import { checkedLayout, openedPicture } from './bmp-image.ts'
import { structureError } from './corrupt-image.ts'
import { openLibvipsImage } from './libvips-image.ts'

/** The smallest header of a picture in an icon: BITMAPINFOHEADER. */
const headerBytes = 40

/**
 * Reads the header of the largest picture in an ICO or CUR. It is a PNG, or a bitmap with a mask.
 *
 * @throws AppError `image_corrupt`, `image_too_many_pixels`, `image_too_complex`, `image_not_supported`
 */
export async function openIcoImage(
  kind: 'image/x-icon',
  file: Buffer,
  limits: OpenLimits,
): Promise<OpenedImage> {
  const entry = largestIcon(file)
  if (!entry) throw structureError(kind, 'truncated', new Error('It ends in its directory.'))
  if (entry.start + headerBytes > file.length) {
    throw structureError(kind, 'truncated', new Error('It ends before its largest picture.'))
  }
  if (isPngIcon(file, entry)) return openPng(kind, file, entry, limits)
  const layout = checkedLayout(
    kind,
    file,
    readBmpLayout(file, { start: entry.start, isIcon: true }),
    limits.maxPixels,
  )
  const { width, height } = layout
  return openedPicture({ width, height }, () => decode(file, entry, layout))
}

async function openPng(
  kind: 'image/x-icon',
  file: Buffer,
  { start, end }: IconEntry,
  limits: OpenLimits,
): Promise<OpenedImage> {
  const png = file.subarray(start, end)
  const image = await explainErrors(openLibvipsImage('image/png', png, limits))
  return { ...image, decode: (selection, use) => explainErrors(image.decode(selection, use)) }

  async function explainErrors<Result>(result: Promise<Result>): Promise<Result> {
    try {
      return await result
    } catch (error) {
      if (!(error instanceof AppError) || error.code !== 'image_corrupt') throw error
      const isTruncated = end > file.length || checkBeforeDecoding('image/png', png).state === 'truncated'
      throw structureError(kind, isTruncated ? 'truncated' : 'damaged', error)
    }
  }
}

function decode(file: Buffer, { end }: IconEntry, layout: BmpLayout): ProfiledPixels {
  const target = createProfiledPixels({ ...layout, channels: 4 }, undefined)
  const { hasVisibleAlpha } = decodeBmpPixels(file, layout, 4, target.pixels)
  // With an alpha of its own, a picture needs no mask.
  if (!hasVisibleAlpha) applyMask(file.subarray(0, Math.max(end, layout.pixelsStart)), layout, target.pixels)
  return target
}

/** Applies the mask after the pixels, with one bit for each: 1 is transparent. A file may end before it. */
function applyMask(
  file: Buffer,
  { width, height, isTopDown, pixelsStart, rowBytes }: BmpLayout,
  pixels: Buffer,
): void {
  const maskStart = pixelsStart + rowBytes * height
  const maskRowBytes = Math.ceil(width / 32) * 4
  for (let y = 0; y < height; y++) {
    const row = maskStart + maskRowBytes * (isTopDown ? y : height - 1 - y)
    for (let x = 0; x < width; x++) {
      const isTransparent = ((file[row + (x >> 3)] ?? 0) & (0x80 >> (x & 7))) !== 0
      pixels[4 * (y * width + x) + 3] = isTransparent ? 0 : 255
    }
  }
}
