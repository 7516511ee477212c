import { AppError } from '@millrace/shared/service/app-error.ts'
import type { OpenedImage, OpenLimits } from '../pixels/opened-image.ts'
import type { Size } from '../pixels/raster.ts'
import { extractPreview, type RawPreview, readRawStructure } from '../tiff/raw-structure.ts'
import { imageKindNames, type RawKind } from './image-kind.ts'
import { openLibvipsImage } from './libvips-image.ts'

/** A preview is the picture if its longer side has this many pixels, or half of the raw data's. */
const minPreviewSide = 1_000

/**
 * Opens the embedded preview of a camera's raw file. Raw data is not decoded.
 *
 * The size is that of the preview. If there is none that is large enough, it is that of the raw data, and decoding fails
 * with `image_not_supported`.
 *
 * @throws AppError `image_not_supported`: what cannot be read is no damage, since other programs may read it
 */
export async function openRawImage(kind: RawKind, file: Buffer, limits: OpenLimits): Promise<OpenedImage> {
  const raw = readRawStructure(file)
  const name = imageKindNames[kind]
  const size = raw?.size && displayed(raw.size, raw.orientation)
  for (const preview of raw?.previews ?? []) {
    if (!isLargeEnough(preview, raw?.size)) break
    const opened = await openPreview(file, preview, raw?.orientation, limits)
    if (!opened) continue
    const rawData = size ? `raw data of ${size.width} × ${size.height}` : 'raw data'
    const warning = `The picture is the camera's embedded preview of ${opened.width} × ${opened.height} pixels; the ${rawData} is not decoded.`
    return {
      ...opened,
      warnings: [warning, ...opened.warnings],
      decode: (selection, use) =>
        opened.decode(selection, use).catch((error: unknown) => {
          if (!(error instanceof AppError && error.code === 'image_corrupt')) throw error
          throw new AppError('image_not_supported', {
            message: `The embedded preview of the ${name} is damaged; raw data is not decoded.`,
            cause: error,
          })
        }),
    }
  }
  const notSupported = new AppError('image_not_supported', {
    message: `The ${name} has no embedded preview of ${minPreviewSide} pixels or half of its own size; raw data is not decoded.`,
  })
  if (!size) throw notSupported
  return {
    ...size,
    frames: 1,
    pages: 1,
    isVector: false,
    warnings: [],
    decode: () => Promise.reject(notSupported),
  }
}

/** @returns undefined if its header is damaged or it is over a limit */
async function openPreview(
  file: Buffer,
  preview: RawPreview,
  orientation: number | undefined,
  limits: OpenLimits,
): Promise<OpenedImage | undefined> {
  try {
    return await openLibvipsImage('image/jpeg', extractPreview(file, preview, orientation), limits)
  } catch (error) {
    if (error instanceof AppError && !error.retryable) return undefined
    throw error
  }
}

function isLargeEnough(preview: Size, raw: Size | undefined): boolean {
  const side = Math.max(preview.width, preview.height)
  return side >= minPreviewSide || (raw !== undefined && side >= Math.max(raw.width, raw.height) / 2)
}

/** EXIF's orientations 5 to 8 are turned by a quarter. */
function displayed({ width, height }: Size, orientation = 1): Size {
  return orientation >= 5 ? { width: height, height: width } : { width, height }
}
