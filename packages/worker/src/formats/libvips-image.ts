import { AppError } from '@millrace/shared/service/app-error.ts'
import type { Metadata, Sharp, SharpOptions } from 'sharp'
import {
  checkBeforeDecoding,
  findUnsupported,
  repairImage,
  withoutFiller,
} from '../headers/image-structure.ts'
import { libraryPixelLimit } from '../pixels/library-pixel-limit.ts'
import type { OpenedImage, OpenLimits, Selection } from '../pixels/opened-image.ts'
import { checkPixels, formatCount } from '../pixels/pixel-limit.ts'
import { sharp } from '../pixels/sharp-setup.ts'
import { uprightFrames } from '../pixels/upright-frames.ts'
import { partLimits, type Structure } from '../structure/structure.ts'
import { hideThumbnail } from '../tiff/exif-thumbnail.ts'
import { corruptImage, structureError } from './corrupt-image.ts'
import { imageKindNames, type LibvipsKind, libvipsFormats } from './image-kind.ts'

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
 * @throws AppError `image_corrupt`, `image_not_supported`, `image_too_many_pixels`, `image_too_complex`
 */
export async function openLibvipsImage(
  kind: LibvipsKind,
  file: Buffer,
  { maxPixels }: OpenLimits,
): Promise<OpenedImage> {
  const warnings = checkFile(kind, file)
  const opened = await readHeader(kind, withoutFiller(kind, file))
  const { header } = opened
  hideThumbnail(opened.bytes, header.exif)
  /** A repaired copy replaces it, once one was needed. */
  let { bytes } = opened
  const { width, height } = header.autoOrient
  const isAnimatable = kind === 'image/gif' || kind === 'image/webp'
  const frames = isAnimatable ? (header.pages ?? 1) : 1
  const pages = kind === 'image/tiff' ? (header.pages ?? 1) : 1
  checkPixels({ width, height, frames }, maxPixels)

  /** Opens an upright picture. */
  function pictureOf(from: Buffer, selection: Selection): Promise<Sharp> | Sharp {
    const options: SharpOptions = { failOn }
    if (selection.isAnimated) {
      const picture = sharp(from, { ...options, animated: true })
      return (header.orientation ?? 1) > 1 ? uprightFrames(picture, header, selection.size) : picture
    }
    return sharp(from, {
      ...options,
      autoOrient: true,
      ...(selection.page > 0 && { page: selection.page }),
    })
  }

  /** @returns undefined if the repaired copy is damaged too */
  async function useRepaired<Result>(
    repaired: Buffer,
    selection: Selection,
    use: (picture: Sharp) => Promise<Result>,
  ): Promise<Result | undefined> {
    try {
      // The end mark of a repaired JPEG is ours. A small picture is decoded without the last rows, which may be missing.
      if (kind === 'image/jpeg') await sharp(repaired, { failOn }).stats()
      return await use(await pictureOf(repaired, selection))
    } catch {
      return undefined
    }
  }

  return {
    width,
    height,
    frames,
    pages,
    isVector: false,
    warnings,
    async decode<Result>(selection: Selection, use: (picture: Sharp) => Promise<Result>) {
      try {
        return await use(await pictureOf(bytes, selection))
      } catch (error) {
        if (error instanceof AppError) throw error
        const repaired = repairImage(kind, bytes)
        const result = repaired && (await useRepaired(repaired, selection, use))
        // The first error is the one to report.
        if (repaired === undefined || result === undefined) throw corruptImage(kind, bytes, error)
        bytes = repaired
        return result
      }
    },
  }
}

/**
 * Checks the file's structure, the number of its scans, frames, pages and chunks, and whether it is of a kind that is
 * decoded.
 *
 * @returns warnings for the owner
 * @throws AppError `image_corrupt`, `image_not_supported`, `image_too_complex`
 */
export function checkFile(kind: LibvipsKind, bytes: Buffer, page = 0): string[] {
  const { state, reason, parts, warning }: Structure = checkBeforeDecoding(kind, bytes)
  if (parts && parts.count > partLimits[parts.name]) {
    const limit = partLimits[parts.name]
    throw new AppError('image_too_complex', {
      message: `The ${imageKindNames[kind]} has more than ${formatCount(limit)} ${parts.name}, which is the limit.`,
      limit,
    })
  }
  const unsupported = findUnsupported(kind, bytes, page)
  if (unsupported !== undefined) throw new AppError('image_not_supported', { message: unsupported })
  if (state !== 'whole') throw structureError(kind, state, new Error(reason))
  return warning === undefined ? [] : [warning]
}

/** @returns the header, and the file or its repaired copy, whichever has one */
async function readHeader(kind: LibvipsKind, file: Buffer): Promise<{ header: Metadata; bytes: Buffer }> {
  try {
    return { header: await headerOf(kind, file), bytes: file }
  } catch (error) {
    // sharp's own limit, which stays in force whatever our limit is.
    if (error instanceof Error && /exceeds pixel limit/i.test(error.message)) {
      throw new AppError('image_too_many_pixels', {
        message: `The image has more than ${formatCount(libraryPixelLimit)} pixels, which is the limit.`,
        limit: libraryPixelLimit,
        cause: error,
      })
    }
    const repaired = repairImage(kind, file)
    const header = repaired && (await headerOf(kind, repaired).catch(() => undefined))
    if (!header) throw corruptImage(kind, file, error)
    return { header, bytes: repaired }
  }
}

async function headerOf(kind: LibvipsKind, bytes: Buffer): Promise<Metadata> {
  // The decoder finds damage after the header. With `failOn`, the message here would be less precise.
  const header = await sharp(bytes, { failOn: 'none' }).metadata()
  if (header.format !== libvipsFormats[kind]) throw new Error(`libvips opened a ${kind} as ${header.format}`)
  return header
}
