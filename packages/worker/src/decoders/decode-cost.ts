import type { Preset, VariantRecipe } from '@millrace/shared/presets/preset.ts'
import { type ImageKind, isRawKind } from '../formats/image-kind.ts'
import type { Size } from '../formats/raster.ts'
import { planVariant } from '../images/variant-size.ts'
import { type ImageHeader, readImageHeader } from '../structure/image-header.ts'

/** A decoder without an image, with its libraries loaded and the heap that V8 keeps, in bytes: 60 to 90 MiB, and a margin. */
const emptyDecoderBytes = 112 * 1024 ** 2

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
  if (isVectorKind(kind)) return estimateVectorCost(kind, file, header, preset)
  if (!header || header.width === 0 || header.height === 0) {
    return { bytes: emptyDecoderBytes + fileBytes, isLarge: false, pixels: 0 }
  }
  const pixels = header.width * header.height * header.frames
  const bytes = emptyDecoderBytes + fileBytes + decodingBytes(kind, header) + encodingBytes(header, preset)
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
  const scales = preset.variants.map((recipe) => planVariant(size, recipe).scale)
  const pixels = Math.round(size.width * size.height * Math.max(0, ...scales) ** 2)
  const bytes =
    emptyDecoderBytes +
    cost.fixed +
    file.length * cost.fileByte +
    (header?.elements ?? 0) * cost.element +
    (header?.imagePixels ?? 0) * cost.image +
    pixels * cost.drawn +
    encodingBytes(size, preset)
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
  }
}

/** Returns the memory of the variant that takes most, in bytes. The largest raster is kept beside it. */
function encodingBytes(image: Size & { isVector?: boolean }, preset: Preset): number {
  return Math.max(
    0,
    ...preset.variants.map((recipe) => {
      // For `cover`, the whole image at the variant's scale is in memory, which is cropped.
      const { scale } = planVariant(image, recipe)
      return image.width * scale * image.height * scale * encoderBytes[recipe.format]
    }),
  )
}
