import { AppError } from '@millrace/shared/service/app-error.ts'
import type { Sharp } from 'sharp'
import type { OpenedImage, OpenLimits, Selection } from '../pixels/opened-image.ts'
import { checkPixels } from '../pixels/pixel-limit.ts'
import { sharp } from '../pixels/sharp-setup.ts'
import { rewriteTiff } from '../pixels/tiff-samples.ts'
import { needsOwnSamples, readTiffEncoding, type TiffEncoding } from '../tiff/tiff-encoding.ts'
import { countTiffPages } from '../tiff/tiff-structure.ts'
import { corruptImage } from './corrupt-image.ts'
import { checkFile, openLibvipsImage } from './libvips-image.ts'

/**
 * Reads the header of a TIFF. libvips decodes it, except for samples that it would show in wrong colours: those are
 * rewritten first.
 *
 * @throws AppError `image_corrupt`, `image_not_supported`, `image_too_many_pixels`, `image_too_complex`
 */
export async function openTiffImage(
  kind: 'image/tiff',
  file: Buffer,
  limits: OpenLimits,
): Promise<OpenedImage> {
  const encoding = readTiffEncoding(file)
  if (!encoding || !needsOwnSamples(encoding)) return openLibvipsImage(kind, file, limits)
  const warnings = checkFile(kind, file)
  const isTurned = encoding.orientation >= 5 && encoding.orientation <= 8
  const [width, height] = isTurned ? [encoding.height, encoding.width] : [encoding.width, encoding.height]
  if (width === 0 || height === 0) throw corruptImage(kind, file, new Error('The image has no pixels.'))
  checkPixels({ width, height, frames: 1 }, limits.maxPixels)
  const rewritten = new Map<number, Promise<Buffer>>()

  async function plainPage(page: number): Promise<Buffer> {
    const known = rewritten.get(page)
    if (known) return known
    const plain = rewrite(page)
    // One page at a time, since each is a copy of 16 bits.
    rewritten.clear()
    rewritten.set(page, plain)
    return plain
  }

  async function rewrite(page: number): Promise<Buffer> {
    if (page > 0) checkFile(kind, file, page)
    const pageEncoding: TiffEncoding | undefined = page === 0 ? encoding : readTiffEncoding(file, page)
    if (!pageEncoding) throw new Error(`There is no page ${page}.`)
    checkPixels({ ...pageEncoding, frames: 1 }, limits.maxPixels)
    return needsOwnSamples(pageEncoding) ? rewriteTiff(file, page, pageEncoding) : file
  }

  return {
    width,
    height,
    frames: 1,
    pages: countTiffPages(file),
    isVector: false,
    warnings,
    async decode<Result>({ page }: Selection, use: (picture: Sharp) => Promise<Result>) {
      try {
        const plain = await plainPage(page)
        return await use(
          sharp(plain, { autoOrient: true, failOn: 'warning', ...(plain === file && { page }) }),
        )
      } catch (error) {
        throw error instanceof AppError ? error : corruptImage(kind, file, error)
      }
    },
  }
}
