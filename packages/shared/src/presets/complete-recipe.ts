import type { EncodedFormat, Gravity, VariantRecipe, Watermark } from './preset.ts'

/** The settings of a variant with all defaults. Settings without an effect are left out or the same for all. */
export type CompleteRecipe<Format extends VariantRecipe['format'] = EncodedFormat> = {
  name: string
  fit: NonNullable<VariantRecipe['fit']>
  /** Undefined: as the other side and the proportions say. */
  width?: number
  height?: number
  position: NonNullable<VariantRecipe['position']>
  format: Format
  /** Undefined if the format has none. */
  quality?: number
  effort?: number
  isLossless: boolean
  /** Whether an animation stays one. */
  isAnimated: boolean
  /** `#rrggbbaa`; undefined: white where a format has no transparency, transparent elsewhere. */
  background?: string
  /** `mild`: sharp's fast sharpening; a number: its sigma in pixels. */
  sharpen?: number | 'mild'
  /** Sigma in pixels. */
  blur?: number
  withoutEnlargement: boolean
  keepsCopyright: boolean
  keepsProfile: boolean
  gamut: 'srgb' | 'p3'
  watermark?: Required<Watermark> & { position: Gravity }
  /** From 0. */
  page: number
  /** From 0. */
  frame: number
}

/** 80 for JPEG and WebP, and 50 for AVIF, look alike (sharp's own defaults). */
const defaultQualities = { webp: 80, jpeg: 80, avif: 50, png: undefined, original: undefined } as const
/** sharp's default of both encoders. */
const defaultEffort = 4

/** The type of originals by the format that keeps it. */
const formatsByType: ReadonlyMap<string, EncodedFormat> = new Map([
  ['image/jpeg', 'jpeg'],
  ['image/png', 'png'],
  ['image/webp', 'webp'],
  ['image/avif', 'avif'],
])

/**
 * Returns the format that a variant is encoded in.
 * @param originalType media type of the original
 */
export function encodedFormat(
  format: VariantRecipe['format'],
  originalType: string | undefined,
): EncodedFormat {
  // WebP has transparency and animation, so nothing of a GIF, TIFF or SVG is lost.
  return format === 'original' ? (formatsByType.get(originalType ?? '') ?? 'webp') : format
}

/** Adds the defaults to a variant's settings. Two recipes that make the same bytes get the same result. */
export function completeRecipe<Format extends VariantRecipe['format']>(
  recipe: Omit<VariantRecipe, 'format'> & { format: Format },
): CompleteRecipe<Format> {
  const { name, format, fit = 'inside', width, height, watermark } = recipe
  const mayBeLossless = format === 'webp' || format === 'avif'
  const isLossless = mayBeLossless && recipe.lossless === true
  const quality = format === 'png' || isLossless ? undefined : (recipe.quality ?? defaultQualities[format])
  const effort = mayBeLossless ? (recipe.effort ?? defaultEffort) : undefined
  const usesPosition = fit === 'cover' || fit === 'contain'
  const sharpen = recipe.sharpen === true ? 'mild' : recipe.sharpen || undefined
  const kept = keptMetadata(recipe)
  return {
    name,
    fit,
    ...(width !== undefined && { width }),
    ...(height !== undefined && { height }),
    position: (usesPosition && recipe.position) || 'center',
    format,
    ...(quality !== undefined && { quality }),
    ...(effort !== undefined && { effort }),
    isLossless,
    isAnimated: isAnimated(recipe),
    ...(recipe.background !== undefined && { background: longColor(recipe.background) }),
    ...(sharpen !== undefined && { sharpen }),
    ...(recipe.blur !== undefined && { blur: recipe.blur }),
    withoutEnlargement: recipe.withoutEnlargement ?? true,
    keepsCopyright: kept.includes('copyright'),
    // Without its profile, a wide gamut would be shown wrongly.
    keepsProfile: kept.includes('icc') || recipe.gamut === 'p3',
    gamut: recipe.gamut ?? 'srgb',
    ...(watermark && {
      watermark: { position: 'right bottom', opacity: 1, scale: 0.25, margin: 0.02, ...watermark },
    }),
    page: (recipe.page ?? 1) - 1,
    frame: (recipe.frame ?? 1) - 1,
  }
}

/**
 * Only WebP is animated. Cropped variants are mostly thumbnails, and blurring and sharpening would mix the pixels of
 * successive frames, which libvips keeps in one column.
 */
function isAnimated({ format, fit, animated, sharpen, blur, frame }: VariantRecipe): boolean {
  if (format !== 'webp' && format !== 'original') return false
  if (frame !== undefined) return false
  return animated ?? (fit !== 'cover' && !sharpen && blur === undefined)
}

function keptMetadata({ keepMetadata = false }: Pick<VariantRecipe, 'keepMetadata'>): string[] {
  if (typeof keepMetadata === 'boolean') return keepMetadata ? ['copyright', 'icc'] : []
  return keepMetadata
}

/** Returns a colour as `#rrggbbaa`. */
function longColor(color: string): string {
  if (color === 'transparent') return '#00000000'
  const digits = color.slice(1).toLowerCase()
  if (digits.length === 3) return `#${[...digits].map((digit) => digit + digit).join('')}ff`
  return digits.length === 6 ? `#${digits}ff` : `#${digits}`
}
