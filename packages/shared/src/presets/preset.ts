import { createHash } from 'node:crypto'
import Type, { type Static } from 'typebox'

/** The name of a preset or of a variant within one: part of a key, so nothing in it needs escaping. */
export const PresetName = Type.String({ pattern: '^[a-z0-9][a-z0-9-]{0,31}$' })

/**
 * One picture to make out of an image. `fit: 'inside'` keeps the whole picture within the box and its
 * proportions, `fit: 'cover'` fills the box and cuts off what hangs over. Neither enlarges.
 */
export const VariantRecipe = Type.Object(
  {
    name: PresetName,
    fit: Type.Union([Type.Literal('inside'), Type.Literal('cover')]),
    width: Type.Integer({ minimum: 1, maximum: 16_383, description: 'pixels' }),
    height: Type.Optional(Type.Integer({ minimum: 1, maximum: 16_383, description: 'pixels' })),
    format: Type.Union([
      Type.Literal('webp'),
      Type.Literal('jpeg'),
      Type.Literal('avif'),
      Type.Literal('png'),
    ]),
    quality: Type.Integer({ minimum: 1, maximum: 100 }),
    effort: Type.Optional(Type.Integer({ minimum: 0, maximum: 9, description: "the encoder's own scale" })),
  },
  { additionalProperties: false },
)
export type VariantRecipe = Static<typeof VariantRecipe>

/** What an owner declared: which files are taken, and what is made of each image, widest variant first. */
export const Preset = Type.Object(
  {
    name: PresetName,
    accept: Type.Optional(
      Type.Array(Type.String({ pattern: '^[a-z]+/(\\*|[a-z0-9][a-z0-9!#$&^_.+-]*)$' }), {
        minItems: 1,
        description: 'media types, or `image/*`, by the bytes themselves; without it, every file is taken',
      }),
    ),
    variants: Type.Array(VariantRecipe, { maxItems: 32 }),
  },
  { additionalProperties: false },
)
export type Preset = Static<typeof Preset>

/**
 * Whether a preset takes files of a type.
 * @param detectedType by the bytes; undefined where they are of no known kind, which no list names
 */
export function acceptsType({ accept }: Preset, detectedType: string | undefined): boolean {
  if (!accept) return true
  if (detectedType === undefined) return false
  return accept.some((pattern) =>
    pattern.endsWith('/*') ? detectedType.startsWith(pattern.slice(0, -1)) : detectedType === pattern,
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
