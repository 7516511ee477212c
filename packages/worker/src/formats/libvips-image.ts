import { AppError } from '@millrace/shared/service/app-error.ts'
import type { Sharp, SharpOptions } from 'sharp'
import { checkBeforeDecoding, repairImage } from '../structure/image-structure.ts'
import { partLimits } from '../structure/structure.ts'
import { corruptImage, structureError } from './corrupt-image.ts'
import { imageKindNames, type LibvipsKind, libvipsFormats } from './image-kind.ts'
import type { OpenedImage, OpenLimits, Selection } from './opened-image.ts'
import { checkPixels, formatCount } from './pixel-limit.ts'
import { libraryPixelLimit, sharp } from './sharp-setup.ts'

/**
 * sharp's `failOn` level. libjpeg fills unreadable areas with grey and only warns, even if the entropy-coded data is
 * clearly damaged. So warnings must fail. Some warnings are about harmless oddities, which phones and scanners write. A
 * file that fails is decoded again without its oddities (`repairImage`): if a warning remains, the image is damaged. No text
 * of a library is compared, and nothing damaged hides behind a harmless remark.
 */
const failOn = 'warning'

/**
 * Reads the header of an image that libvips decodes. No pixels are decoded.
 *
 * @throws AppError `image_corrupt`, `image_too_many_pixels`, `image_too_complex`
 */
export async function openLibvipsImage(
  kind: LibvipsKind,
  file: Buffer,
  { maxPixels }: OpenLimits,
): Promise<OpenedImage> {
  checkParts(kind, file)
  const header = await readHeader(kind, file)
  const { width, height } = header.autoOrient
  const isAnimatable = kind === 'image/gif' || kind === 'image/webp'
  const frames = isAnimatable ? (header.pages ?? 1) : 1
  const pages = kind === 'image/tiff' ? (header.pages ?? 1) : 1
  checkPixels({ width, height, frames }, maxPixels)
  /** A repaired copy replaces it, once one was needed. */
  let bytes = file

  return {
    width,
    height,
    frames,
    pages,
    isVector: false,
    warnings: [],
    async decode<Result>(selection: Selection, use: (picture: Sharp) => Promise<Result>) {
      const options: SharpOptions = selection.isAnimated
        ? { failOn, animated: true }
        : { failOn, autoOrient: true, ...(selection.page > 0 && { page: selection.page }) }
      try {
        return await use(sharp(bytes, options))
      } catch (error) {
        const repaired = repairImage(kind, bytes)
        // The first error is the one to report.
        const result = repaired && (await use(sharp(repaired, options)).catch(() => undefined))
        if (repaired === undefined || result === undefined) throw corruptImage(kind, bytes, error)
        bytes = repaired
        return result
      }
    },
  }
}

/** Checks the file's structure and the number of its scans, frames, pages and chunks. */
function checkParts(kind: LibvipsKind, bytes: Buffer): void {
  const { state, reason, parts } = checkBeforeDecoding(kind, bytes)
  if (parts && parts.count > partLimits[parts.name]) {
    const limit = partLimits[parts.name]
    throw new AppError('image_too_complex', {
      message: `The ${imageKindNames[kind]} has more than ${formatCount(limit)} ${parts.name}, which is the limit.`,
      limit,
    })
  }
  if (state !== 'whole') throw structureError(kind, state, new Error(reason))
}

async function readHeader(kind: LibvipsKind, bytes: Buffer) {
  try {
    // The decoder finds damage after the header. With `failOn`, the message here would be less precise.
    const header = await sharp(bytes, { failOn: 'none' }).metadata()
    if (header.format !== libvipsFormats[kind])
      throw new Error(`libvips opened a ${kind} as ${header.format}`)
    return header
  } catch (error) {
    // sharp's own limit, which stays in force whatever our limit is.
    if (error instanceof Error && /exceeds pixel limit/i.test(error.message)) {
      throw new AppError('image_too_many_pixels', {
        message: `The image has more than ${formatCount(libraryPixelLimit)} pixels, which is the limit.`,
        limit: libraryPixelLimit,
        cause: error,
      })
    }
    throw corruptImage(kind, bytes, error)
  }
}
