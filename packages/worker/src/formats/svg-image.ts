import { AppError } from '@millrace/shared/service/app-error.ts'
import type { Sharp } from 'sharp'
import type { OpenedImage, OpenLimits, Selection } from '../pixels/opened-image.ts'
import { formatCount } from '../pixels/pixel-limit.ts'
import type { Size } from '../pixels/raster.ts'
import { sharp, withSvgLoader } from '../pixels/sharp-setup.ts'
import { checkSvg, maxSvgElements, readableSvg, type SvgText } from '../structure/svg-structure.ts'
import { structureError } from './corrupt-image.ts'

/** libxml2's limit of elements that contain each other. */
const maxLevels = 256

/** At this density, in dots per inch, a CSS pixel is one pixel for libvips. Sharp's lowest is 1. */
const baseDensity = 72
const [minDensity, maxDensity] = [1, 100_000]
/**
 * The density of a file in millimetres and other units of length, which librsvg multiplies by it. At this one they have the
 * size that they have in CSS. Sharp draws it again in the size of the variant.
 */
const physicalDensity = 96
/** A file in units of length that is larger is opened with a lower density, in pixels. */
const maxPhysicalSide = 12_000
/** The longest side with which the proportions are measured, in pixels. Nothing is drawn for it. */
const measuredSide = 1024
/** libvips rounds a smaller side to 0, in pixels. */
const smallestSide = 0.7
/** What browsers give an SVG that has neither a size nor anything to see (CSS 2, 10.3.2). */
const emptySize: Size = { width: 300, height: 150 }

/**
 * Reads the header of an SVG. librsvg reads it from memory without a base address, so it opens no other file and no
 * address; images in `data:` URLs are drawn. It runs no script and no animation.
 *
 * @throws AppError `image_corrupt`, `image_too_complex`, `image_not_supported`
 */
export async function openSvgImage(
  kind: 'image/svg+xml',
  file: Buffer,
  { maxPixels }: OpenLimits,
): Promise<OpenedImage> {
  const document = readableSvg(file)
  const text = checkSvg(document)
  checkComplexity(text)
  const { bytes, base, size } = await measure(kind, document, text)
  return {
    width: Math.max(1, Math.round(size.width)),
    height: Math.max(1, Math.round(size.height)),
    frames: 1,
    pages: 1,
    isVector: true,
    warnings: [],
    async decode<Result>({ size: wanted }: Selection, use: (picture: Sharp) => Promise<Result>) {
      const density = text.isPhysical ? densityOf(text.size) : drawingDensity(base, wanted, maxPixels)
      try {
        return await withSvgLoader(() => use(sharp(bytes, { density, failOn: 'warning' })))
      } catch (error) {
        if (error instanceof AppError) throw error
        // Its XML was read without a fault.
        throw new AppError('image_too_complex', {
          message: 'The SVG cannot be drawn: it refers to itself, or to more elements than the limit.',
          cause: error,
        })
      }
    },
  }
}

function checkComplexity({ levels, elements }: SvgText): void {
  if (levels > maxLevels) {
    throw new AppError('image_too_complex', {
      message: `The SVG has more than ${formatCount(maxLevels)} elements that contain each other, which is the limit.`,
      limit: maxLevels,
    })
  }
  if (elements > maxSvgElements) {
    throw new AppError('image_too_complex', {
      message: `The SVG has more than ${formatCount(maxSvgElements)} elements, which is the limit.`,
      limit: maxSvgElements,
    })
  }
}

/**
 * Measures an SVG without drawing it.
 *
 * @returns `bytes` to draw, `base`: what libvips draws at the base density, and `size`: what the file asks for
 */
async function measure(
  kind: 'image/svg+xml',
  document: Buffer,
  text: SvgText,
): Promise<{ bytes: Buffer; base: Size; size: Size }> {
  const { size } = text
  if (!size) {
    const base = await readSize(document, baseDensity).catch((thrown: unknown) => thrown)
    if (isSize(base)) return { bytes: document, base, size: base }
    // Nothing to see and no size: the same with a size.
    const sized = withSize(document, text, emptySize)
    await readSize(sized, baseDensity).catch((error: unknown) => fail(kind, text, error))
    return { bytes: sized, base: emptySize, size: emptySize }
  }
  const [short, long] = [Math.min(size.width, size.height), Math.max(size.width, size.height)]
  if (short < smallestSide) {
    throw notSupported(
      `The SVG asks for a size of ${size.width} × ${size.height} pixels, which shows nothing.`,
    )
  }
  const scale = Math.max(measuredSide / long, 1 / short)
  const density = text.isPhysical ? densityOf(size) : clampDensity(baseDensity * scale)
  if ((long * density) / baseDensity > 100 * measuredSide) {
    throw notSupported(`The SVG asks for a size of ${size.width} × ${size.height} pixels.`)
  }
  const measured = await readSize(document, density).catch((error: unknown) => fail(kind, text, error))
  if (text.isPhysical) return { bytes: document, base: size, size }
  // A style may set another size.
  const base = {
    width: (measured.width * baseDensity) / density,
    height: (measured.height * baseDensity) / density,
  }
  const ratio = size.width > size.height ? base.width / size.width : base.height / size.height
  const isAsAsked = Math.abs(ratio - 1) < 0.02
  return { bytes: document, base: isAsAsked ? size : base, size: isAsAsked ? size : base }
}

async function readSize(document: Buffer, density: number): Promise<Size> {
  const { format, width, height } = await withSvgLoader(() =>
    sharp(document, { density, failOn: 'none' }).metadata(),
  )
  if (format !== 'svg') throw new Error(`libvips opened an SVG as ${format}.`)
  return { width, height }
}

/** @throws AppError `image_corrupt` */
function fail(kind: 'image/svg+xml', { state, reason }: SvgText, error: unknown): never {
  throw structureError(kind, state === 'truncated' ? state : 'damaged', error ?? new Error(reason))
}

function isSize(value: unknown): value is Size {
  return typeof value === 'object' && value !== null && 'width' in value && 'height' in value
}

/** Returns the document with a size of its root. */
function withSize(document: Buffer, { rootNameEnd = 0 }: SvgText, { width, height }: Size): Buffer {
  const attributes = Buffer.from(` width="${width}" height="${height}"`)
  return Buffer.concat([document.subarray(0, rootNameEnd), attributes, document.subarray(rootNameEnd)])
}

/** Returns the density at which both sides have the wanted size, within the limit of pixels. */
function drawingDensity(base: Size, wanted: Size, maxPixels: number): number {
  const scale = Math.max(wanted.width / base.width, wanted.height / base.height)
  return clampDensity(baseDensity * Math.min(scale, Math.sqrt(maxPixels / (base.width * base.height))))
}

/** Returns the density of a file in units of length, of a size in CSS pixels. */
function densityOf({ width, height }: Size = emptySize): number {
  return clampDensity(physicalDensity * Math.min(1, maxPhysicalSide / Math.max(width, height)))
}

function clampDensity(density: number): number {
  return Math.min(maxDensity, Math.max(minDensity, density))
}

function notSupported(message: string): AppError {
  return new AppError('image_not_supported', { message })
}
