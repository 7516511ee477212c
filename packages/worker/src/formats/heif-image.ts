import { AppError } from '@millrace/shared/service/app-error.ts'
import { readImageHeader } from '../headers/image-header.ts'
import type { OpenedImage, OpenLimits } from '../pixels/opened-image.ts'
import { checkPixels } from '../pixels/pixel-limit.ts'
import { createProfiledPixels, type ProfiledPixels } from '../pixels/profiled-pixels.ts'
import { makeRgbProfile } from '../pixels/rgb-profile.ts'
import { toneMap } from '../pixels/tone-map.ts'
import { isHdr } from '../pixels/transfer-curves.ts'
import { checkHeif } from '../structure/heif-structure.ts'
import { structureError } from './corrupt-image.ts'
import { HeifError, type HeifFile, type HeifPixels, openHeifFile } from './heif-library.ts'
import { imageKindNames } from './image-kind.ts'

export type HeifKind = 'image/heic' | 'image/heif'

/** Codes of heif_error.h: file types, features and codecs that this build does not have; and a lack of memory. */
const notSupportedCodes: ReadonlySet<number> = new Set([3, 4, 11])
const memoryCode = 6
/** Subcode of an unknown version of a box. All versions of the standard are known, so its bytes are damaged. */
const versionSubcode = 3002
/** Subcode of any error: one of libheif's limits, such as 1,000 items. */
const limitSubcode = 1000

/**
 * Reads the header of a HEIF with libheif. The picture is the primary image, or the first of a sequence. libheif applies
 * grids, rotation, mirroring and cropping; EXIF does not count for a HEIF (ISO/IEC 23008-12, annex A.3).
 *
 * @throws AppError `image_corrupt`, `image_too_many_pixels`, `image_too_complex`, `image_not_supported`
 */
export async function openHeifImage(
  kind: HeifKind,
  bytes: Buffer,
  { maxPixels }: OpenLimits,
): Promise<OpenedImage> {
  const header = readImageHeader(kind, bytes)
  if (header) checkPixels(header, maxPixels)
  const file = explainErrors(kind, bytes, () => openHeifFile(bytes, { maxPixels }))
  const { width, height } = file
  if (width < 1 || height < 1) throw structureError(kind, 'damaged', new Error('Its size is 0.'))
  checkPixels({ width, height, frames: 1 }, maxPixels)
  let decoded: ProfiledPixels | undefined

  return {
    width,
    height,
    frames: 1,
    pages: 1,
    isVector: false,
    warnings: [],
    async decode(_selection, use) {
      decoded ??= explainErrors(kind, bytes, () => decode(file))
      return use(decoded.open())
    },
  }

  function decode(heif: HeifFile): ProfiledPixels {
    const named = heif.colours
    let pixels = heif.decode(named !== undefined && isHdr(named.transfer))
    const colours = named ?? pixels.colours
    if (!named && colours && isHdr(colours.transfer)) pixels = heif.decode(true)
    // libheif leaves out tiles that it cannot decode.
    if (pixels.warnings > 0) throw new HeifError(2, 0, `${pixels.warnings} parts cannot be decoded.`)
    return toProfiledPixels(heif, pixels, colours)
  }
}

function toProfiledPixels(
  { hasAlpha, profile }: HeifFile,
  pixels: HeifPixels,
  colours: HeifPixels['colours'],
): ProfiledPixels {
  const channels = hasAlpha ? 4 : 3
  const isDeep = pixels.bits > 8
  const { primaries, transfer } = colours ?? { primaries: 2, transfer: 2 }
  const target = createProfiledPixels(
    { width: pixels.width, height: pixels.height, channels },
    isDeep ? makeRgbProfile(primaries, 2) : (profile ?? makeRgbProfile(primaries, transfer)),
  )
  const rowBytes = pixels.width * channels
  if (isDeep) toneMap(pixels, { channels, transfer }, target.pixels)
  else {
    for (let y = 0; y < pixels.height; y++) {
      const start = y * pixels.stride
      target.pixels.set(pixels.data.subarray(start, start + rowBytes), y * rowBytes)
    }
  }
  if (hasAlpha && pixels.isPremultiplied) unpremultiply(target.pixels)
  return target
}

/** Divides colours by alpha, as ISO/IEC 23008-12, 6.10.1.2 (`prem`) stores them multiplied. */
function unpremultiply(pixels: Buffer): void {
  for (let at = 0; at < pixels.length; at += 4) {
    const alpha = pixels[at + 3] ?? 0
    if (alpha === 0 || alpha === 255) continue
    for (let channel = at; channel < at + 3; channel++) {
      pixels[channel] = Math.min(255, Math.round(((pixels[channel] ?? 0) * 255) / alpha))
    }
  }
}

function isNotSupported({ code, subcode }: HeifError): boolean {
  return notSupportedCodes.has(code) && subcode !== versionSubcode
}

/** Runs a call of libheif and converts its errors. A trap in WebAssembly has no code; the file caused it. */
function explainErrors<Result>(kind: HeifKind, bytes: Buffer, run: () => Result): Result {
  try {
    return run()
  } catch (error) {
    const name = imageKindNames[kind]
    if (error instanceof HeifError && error.subcode === limitSubcode) {
      throw new AppError('image_too_complex', {
        message: `The ${name} exceeds a limit of its decoder: it has too many parts, or parts larger than it says.`,
        cause: error,
      })
    }
    if (error instanceof HeifError && error.code === memoryCode) {
      throw new AppError('processing_failed', { cause: error })
    }
    const { state } = checkHeif(bytes)
    if (state === 'whole' && error instanceof HeifError && isNotSupported(error)) {
      throw new AppError('image_not_supported', {
        message: `The ${name} uses a codec or a feature that is not supported. It is not damaged.`,
        cause: error,
      })
    }
    throw structureError(kind, state === 'truncated' ? 'truncated' : 'damaged', error)
  }
}
