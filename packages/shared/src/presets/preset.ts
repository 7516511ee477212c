import { createHash } from 'node:crypto'
import Type, { type Static } from 'typebox'
import { namesOfType } from './type-names.ts'

const namePattern = '^[a-z0-9][a-z0-9-]{0,31}$'

/** The name of a preset or of a variant: part of an object key, so it needs no escaping. */
export const PresetName = Type.String({ pattern: namePattern, maxLength: 32 })

/** The same in a list of presets, with the description that error messages use. */
const ConfiguredName = Type.String({
  pattern: namePattern,
  description: 'up to 32 lower-case letters, digits and dashes, and must not begin with a dash',
})

/** Pixels. 16,383 is the largest side of a WebP image (VP8 frame header); the other formats take more. */
const Side = Type.Integer({ minimum: 1, maximum: 16_383 })

/**
 * The settings of one image made from an original. `fit: 'inside'` keeps the whole image and its proportions
 * inside the box. `fit: 'cover'` fills the box and crops the rest, so it needs a height. Neither enlarges.
 */
export const VariantRecipe = Type.Object(
  {
    name: ConfiguredName,
    fit: Type.Enum(['inside', 'cover']),
    width: Side,
    height: Type.Optional(Side),
    format: Type.Enum(['webp', 'jpeg', 'avif', 'png']),
    quality: Type.Integer({ minimum: 1, maximum: 100 }),
    /** The range depends on the format: see `effortRanges`. */
    effort: Type.Optional(Type.Integer()),
  },
  { additionalProperties: false },
)
export type VariantRecipe = Static<typeof VariantRecipe>

/**
 * The effort that each encoder accepts: 0 is the fastest (sharp 0.35). Undefined: the format is encoded without
 * one. sharp has an effort for PNG, but it reduces the image to 256 colours.
 */
export const effortRanges = {
  webp: { minimum: 0, maximum: 6 },
  avif: { minimum: 0, maximum: 9 },
  jpeg: undefined,
  png: undefined,
} as const satisfies Record<VariantRecipe['format'], { minimum: number; maximum: number } | undefined>

/** The settings of a preset: the file types that it accepts, and the variants made of each image. */
export const Preset = Type.Object(
  {
    name: ConfiguredName,
    accept: Type.Optional(
      Type.Array(
        Type.String({
          pattern: '^[a-z]+/(\\*|[a-z0-9][a-z0-9!#$&^_.+-]*)$',
          description: 'a media type such as image/png, or all of a kind such as image/*',
        }),
        {
          minItems: 1,
          description:
            'media types as detected from the bytes, or `image/*`; without it, every file is accepted',
        },
      ),
    ),
    variants: Type.Array(VariantRecipe, { maxItems: 32 }),
  },
  { additionalProperties: false },
)
export type Preset = Static<typeof Preset>

/**
 * Returns whether a preset accepts files of a type.
 * @param detectedType detected from the bytes; undefined if unknown, which only a preset without a list accepts
 */
export function acceptsType({ accept }: Preset, detectedType: string | undefined): boolean {
  if (!accept) return true
  if (detectedType === undefined) return false
  return namesOfType(detectedType).some((name) =>
    accept.some((pattern) =>
      pattern.endsWith('/*') ? name.startsWith(pattern.slice(0, -1)) : name === pattern,
    ),
  )
}

export type Presets = ReadonlyMap<string, Preset>

/**
 * The preset of uploads that name none. WebP at effort 2: measured, it costs 6 % more bytes and 37 % less
 * CPU than effort 4 (docs/decisions/0003-encode-webp-at-effort-2.md).
 */
export const defaultPreset: Preset = {
  name: 'default',
  variants: [
    { name: 'w1920', fit: 'inside', width: 1920, format: 'webp', quality: 80, effort: 2 },
    { name: 'w960', fit: 'inside', width: 960, format: 'webp', quality: 80, effort: 2 },
    { name: 'w320', fit: 'inside', width: 320, format: 'webp', quality: 80, effort: 2 },
    { name: 'thumbnail', fit: 'cover', width: 200, height: 200, format: 'jpeg', quality: 80 },
  ],
}

export const builtInPresets: Presets = new Map([[defaultPreset.name, defaultPreset]])

/** Raise it when rendering changes in a way that makes other bytes out of the same preset. */
const rendererVersion = 1

/** Names a preset's content together with the renderer's: equal recipes make equal variants. */
export function recipeVersion(preset: Preset): string {
  const digest = createHash('sha256').update(JSON.stringify(preset)).digest('hex').slice(0, 12)
  return `${rendererVersion}-${digest}`
}
