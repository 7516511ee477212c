import { completeRecipe, encodedFormat } from '@millrace/shared/presets/complete-recipe.ts'
import type { EncodedFormat, Preset } from '@millrace/shared/presets/preset.ts'
import { type ImageKind, isRawKind } from '../formats/image-kind.ts'
import { type ImageHeader, readImageHeader } from '../headers/image-header.ts'
import { videoFrameKind } from '../headers/video-frame-kind.ts'
import { planVariant, type SizedImage, type VariantPlan } from '../images/variant-size.ts'

/** A decoder without an image, with its libraries loaded and the heap that V8 keeps, in bytes: 65 to 95 MiB, and a margin. */
export const emptyDecoderBytes = 120 * 1024 ** 2

/** V8 collects buffers outside of its heap when they have grown by so many bytes. */
const garbageBytes = 64 * 1024 ** 2

/** ffmpeg without a frame, in bytes: 55 MB, and a margin. */
const ffmpegBytes = 64 * 1024 ** 2

/** Bytes that encoders take for each pixel of a variant, its raster included. Measured, and rounded up. */
const encoderBytes = { webp: 20, jpeg: 12, png: 12, avif: 44 } as const satisfies Record<
  EncodedFormat,
  number
>

/** Bytes that an animation takes for each pixel of all frames, as `decodingBytes` has it for WebP. */
const frameBytes = 6

/**
 * Bytes for each pixel of an image's width: libvips keeps some 270 rows while it scales. Measured at 4 million pixels of width,
 * where they are nearly all.
 */
const rowsBytes = 800

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
  if (isVectorKind(kind)) return estimateVectorCost(kind, file, header, preset)
  if (!header || header.width === 0 || header.height === 0) {
    return { bytes: emptyDecoderBytes + fileBytes, isLarge: false, pixels: 0 }
  }
  const pixels = header.width * header.height * header.frames
  const bytes =
    emptyDecoderBytes +
    fileBytes +
    decodingBytes(kind, header) +
    header.width * rowsBytes +
    encodingBytes(kind, header, preset)
  return { bytes: Math.ceil(bytes), isLarge: pixels >= largePixels, pixels }
}

/**
 * What a vector image takes: for each pixel that is drawn, each byte of its file, each element of its text, and each pixel
 * of its largest image. Measured, and rounded up.
 */
const vectorBytes = {
  'image/svg+xml': { fixed: 16 * 1024 ** 2, drawn: 8, fileByte: 30, element: 2_700, image: 0 },
  // PDFium's program and its first memory are fixed. A progressive JPEG takes 3.4 for each pixel, others 0.3.
  'application/pdf': { fixed: 48 * 1024 ** 2, drawn: 8, fileByte: 3, element: 0, image: 6 },
} as const

type VectorKind = keyof typeof vectorBytes

function isVectorKind(kind: ImageKind): kind is VectorKind {
  return Object.hasOwn(vectorBytes, kind)
}

/** A4, upright: the proportions of a document that does not say its own at once. */
const unknownSize = { width: 595, height: 842 }

/** A vector image costs what its largest variant costs, whatever size it asks for. */
function estimateVectorCost(
  kind: VectorKind,
  file: Buffer,
  header: ImageHeader | undefined,
  preset: Preset,
): DecodeCost {
  const cost = vectorBytes[kind]
  const isKnown = header !== undefined && header.width > 0 && header.height > 0
  const size = { ...(isKnown ? header : unknownSize), isVector: true }
  const drawn = preset.variants.map((variant) => {
    const format = encodedFormat(variant.format, kind)
    return planVariant(size, completeRecipe({ ...variant, format })).drawn
  })
  const pixels = Math.max(0, ...drawn.map(({ width, height }) => width * height))
  const bytes =
    emptyDecoderBytes +
    cost.fixed +
    file.length * cost.fileByte +
    (header?.elements ?? 0) * cost.element +
    (header?.imagePixels ?? 0) * cost.image +
    pixels * cost.drawn +
    encodingBytes(kind, size, preset)
  return { bytes: Math.ceil(bytes), isLarge: pixels >= largePixels, pixels }
}

/** Returns the memory that decoders and the first resizing take, in bytes. Per pixel, measured at 25 megapixels. */
function decodingBytes(kind: Exclude<ImageKind, VectorKind>, header: ImageHeader): number {
  const { pixelBytes, isInterlaced } = header
  const pixels = header.width * header.height
  const allPixels = pixels * header.frames
  // Of a camera's raw file, its preview is decoded.
  switch (isRawKind(kind) ? 'image/jpeg' : kind) {
    case 'image/jpeg':
      // 2.0 when turned; progressive 4.2 (4:2:0) and 7.2 (4:4:4).
      return pixels * (isInterlaced ? pixelBytes + 2.5 : 2.5)
    case 'image/apng':
      // All frames twice and as they are encoded, one that is drawn, copied and scaled, and earlier ones that V8 has not
      // collected yet.
      return header.frames > 1
        ? allPixels * 10 + pixels * (pixelBytes + 24) + garbageBytes
        : pixels * (pixelBytes + 2.5)
    case 'image/png':
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
      // Samples that are unpacked here: 23 of 12 bytes, 17 of 5.
      return pixels * (isInterlaced ? 2 * pixelBytes + 12 : pixelBytes + 2.5)
    case 'image/avif':
      // 19 with 8 bits, 26 with 12 bits and alpha.
      return pixels * (pixelBytes > 4 ? 30 : 22)
    case 'image/bmp':
    case 'image/x-icon':
      return pixels * (isInterlaced ? pixelBytes + 2.5 : 9)
    case 'image/jxl':
      // 37 lossy, 46 with alpha, 24 lossless, 49 with 16 bits; the PNG that it makes included.
      return 20 * 1024 ** 2 + pixels * 56
    case 'image/heic':
    case 'image/heif':
      // libheif itself takes 30 MB. 10 in a grid, 13 in one piece, 20 with alpha, 17 with 10 bits, 25 with HDR.
      return 40 * 1024 ** 2 + pixels * (3 * pixelBytes + 9)
    case videoFrameKind:
      // ffmpeg takes 11 (H.264, VP9, AV1) to 16 (ProRes with alpha), and the decoder 9 for what ffmpeg sends.
      return ffmpegBytes + pixels * 26
  }
}

/** Returns the memory of the variant that takes most, in bytes. The largest raster is kept beside it. */
function encodingBytes(kind: ImageKind, image: SizedImage, preset: Preset): number {
  const { frames = 1 } = image
  return Math.max(
    0,
    ...preset.variants.map((variant) => {
      const format = encodedFormat(variant.format, kind)
      const recipe = completeRecipe({ ...variant, format })
      const plan = planVariant(image, recipe)
      const { drawn, size, isAnimated, scale } = plan
      const pixels = size.width * size.height
      const ownPixels = image.width * image.height
      // Larger frames than the original's, which are part of decoding.
      if (isAnimated && pixels > ownPixels) {
        return pixels * frames * frameBytes + pixels * encoderBytes[format]
      }
      // For `cover`, the whole image at the variant's scale is in memory, which is cropped. It is not enlarged there, unless
      // the whole is looked at to find what to keep.
      const searches = recipe.position === 'attention' || recipe.position === 'entropy'
      const whole = searches ? drawn.width * drawn.height : ownPixels * scale ** 2
      return Math.max(whole, pixels) * (encoderBytes[format] + effectBytes(plan))
    }),
  )
}

/** Bytes that effects take for each pixel in addition. Measured, and rounded up. */
function effectBytes({ recipe }: VariantPlan): number {
  const { isLossless, gamut, position, watermark, sharpen, blur } = recipe
  let bytes = 0
  if (isLossless) bytes += 24
  if (gamut === 'p3') bytes += 12
  if (position === 'attention' || position === 'entropy') bytes += 8
  if (watermark || sharpen !== undefined || blur !== undefined) bytes += 12
  return bytes
}
