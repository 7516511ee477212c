import type { Preset, VariantRecipe } from '@millrace/shared/presets/preset.ts'
import type { ImageKind } from '../formats/image-kind.ts'
import { planVariant } from '../images/variant-size.ts'
import { type ImageHeader, readImageHeader } from '../structure/image-header.ts'
import { videoFrameKind } from '../structure/video-frame.ts'

/** A decoder without an image, with its libraries loaded and the heap that V8 keeps, in bytes: 60 to 90 MiB, and a margin. */
export const emptyDecoderBytes = 112 * 1024 ** 2

/** ffmpeg without a frame, in bytes: 55 MB, and a margin. */
const ffmpegBytes = 64 * 1024 ** 2

/** Bytes that encoders take for each pixel of a variant, its raster included. Measured, and rounded up. */
const encoderBytes = { webp: 20, jpeg: 12, png: 12, avif: 44 } as const satisfies Record<
  VariantRecipe['format'],
  number
>

/** An image with this many pixels takes a second or more, in which several ordinary photos are rendered. */
const largePixels = 25_000_000

/** The estimated cost of rendering an image. */
export type DecodeCost = {
  /** Memory of the decoder, in bytes; more than it was measured to take. */
  bytes: number
  /** Whether it takes so long that others should pass it. */
  isLarge: boolean
  /** Pixels of all frames. */
  pixels: number
}

/**
 * Estimates what rendering an image costs, from its header (measured: docs/decisions/0027).
 *
 * A file without a readable header is estimated as an empty one: its decoder rejects it, and is killed if it grows.
 */
export function estimateCost(kind: ImageKind, file: Buffer, preset: Preset): DecodeCost {
  // The decoder's copy, and one more if it must be repaired.
  const fileBytes = 2 * file.length
  const header = readImageHeader(kind, file)
  if (!header || header.width === 0 || header.height === 0) {
    return { bytes: emptyDecoderBytes + fileBytes, isLarge: false, pixels: 0 }
  }
  const pixels = header.width * header.height * header.frames
  const bytes = emptyDecoderBytes + fileBytes + decodingBytes(kind, header) + encodingBytes(header, preset)
  return { bytes: Math.ceil(bytes), isLarge: pixels >= largePixels, pixels }
}

/** Returns the memory that decoders and the first resizing take, in bytes. Per pixel, measured at 25 megapixels. */
function decodingBytes(kind: ImageKind, header: ImageHeader): number {
  const { pixelBytes, isInterlaced } = header
  const pixels = header.width * header.height
  const allPixels = pixels * header.frames
  switch (kind) {
    case 'image/jpeg':
      // 2.0 when turned; progressive 4.2 (4:2:0) and 7.2 (4:4:4).
      return pixels * (isInterlaced ? pixelBytes + 2.5 : 2.5)
    case 'image/png':
    case 'image/apng':
      // 1.4 of 3 bytes, 3.3 of 8; interlaced 3.8 of 3, 7.3 of 6.
      return pixels * (isInterlaced ? pixelBytes + 2.5 : pixelBytes / 2 + 1.5)
    case 'image/webp':
      // 1.4 lossy, 2.6 with alpha, 4.5 lossless. libvips keeps all frames of an animation.
      return header.frames > 1 ? allPixels * 6 + pixels * 48 : pixels * 6
    case 'image/gif':
      // 5.2; 1.4 for each pixel of all frames, and up to 44 for those of one.
      return header.frames > 1 ? allPixels * 2 + pixels * 48 : pixels * 7
    case 'image/tiff':
      // 1.3 to 2.1 of 3 and 6 bytes in strips of few rows; one strip may be the whole image.
      return pixels * (pixelBytes + 2.5)
    case 'image/avif':
      // 19 with 8 bits, 26 with 12 bits and alpha.
      return pixels * (pixelBytes > 4 ? 30 : 22)
    case videoFrameKind:
      // ffmpeg takes 11 (H.264, VP9, AV1) to 16 (ProRes with alpha), and the decoder 9 for what ffmpeg sends.
      return ffmpegBytes + pixels * 26
  }
}

/** Returns the memory of the variant that takes most, in bytes. The largest raster is kept beside it. */
function encodingBytes(header: ImageHeader, preset: Preset): number {
  return Math.max(
    0,
    ...preset.variants.map((recipe) => {
      // For `cover`, the whole image at the variant's scale is in memory, which is cropped.
      const { scale } = planVariant(header, recipe)
      return header.width * scale * header.height * scale * encoderBytes[recipe.format]
    }),
  )
}
