import Type, { type Static } from 'typebox'
import { namesOfType, typesNamed } from './type-names.ts'

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

/** Where the rest goes if a picture and its box differ. sharp's names of places. */
export const gravities = [
  'center',
  'top',
  'right top',
  'right',
  'right bottom',
  'bottom',
  'left bottom',
  'left',
  'left top',
] as const
export type Gravity = (typeof gravities)[number]

/**
 * Places that depend on the picture: `attention` is where contrast, saturation and skin are, `entropy` where most details
 * are, `focus` the point of the upload's `metadata.focus`.
 */
export const picturePositions = ['attention', 'entropy', 'focus'] as const

/** The formats that variants are encoded in. */
export const encodedFormats = ['webp', 'jpeg', 'avif', 'png'] as const
export type EncodedFormat = (typeof encodedFormats)[number]

const Color = Type.String({
  pattern: '^(transparent|#([0-9a-fA-F]{3}|[0-9a-fA-F]{6}|[0-9a-fA-F]{8}))$',
  description: 'a colour such as #ffffff, #ffffff80 or transparent',
})

const between = (minimum: number, maximum: number) =>
  Type.Number({ minimum, maximum, description: `a number from ${minimum} to ${maximum}` })

/** The largest image of a watermark, in characters of base64. It goes to a decoder process with each image. */
const maxWatermarkLength = 65_536

/** A picture that is drawn onto a variant. Sizes are shares, so that one watermark suits all variants. */
export const Watermark = Type.Object(
  {
    image: Type.String({
      pattern: '^[A-Za-z0-9+/]+={0,2}$',
      maxLength: maxWatermarkLength,
      description: `a PNG file in base64, at most ${maxWatermarkLength} characters`,
    }),
    position: Type.Optional(Type.Enum(gravities)),
    /** 1 draws it as it is. */
    opacity: Type.Optional(between(0, 1)),
    /** Its width, as a share of the variant's width. */
    scale: Type.Optional(between(0.01, 1)),
    /** Its distance from the edges, as a share of the variant's shorter side. */
    margin: Type.Optional(between(0, 0.4)),
  },
  { additionalProperties: false },
)
export type Watermark = Static<typeof Watermark>

/** The settings of one image made from an original, as they are configured. `complete-recipe.ts` adds the defaults. */
export const VariantRecipe = Type.Object(
  {
    name: ConfiguredName,
    /**
     * `inside`: the whole image, in the box. `outside`: the whole image, its shorter side as large as the box. `cover`:
     * fills the box, the rest is cropped. `contain`: the whole image and padding, exactly the box. `fill`: stretched.
     */
    fit: Type.Optional(Type.Enum(['inside', 'cover', 'contain', 'outside', 'fill'])),
    width: Type.Optional(Side),
    height: Type.Optional(Side),
    position: Type.Optional(Type.Enum([...gravities, ...picturePositions])),
    /** `original`: the format of the original, or WebP if variants are not encoded in it. */
    format: Type.Enum([...encodedFormats, 'original']),
    quality: Type.Optional(Type.Integer({ minimum: 1, maximum: 100 })),
    /** The range depends on the format: see `effortRanges`. */
    effort: Type.Optional(Type.Integer()),
    lossless: Type.Optional(Type.Boolean()),
    animated: Type.Optional(Type.Boolean()),
    background: Type.Optional(Color),
    /** A number is the sigma of the Gaussian, in pixels. */
    sharpen: Type.Optional(
      Type.Union([Type.Boolean(), Type.Number({ minimum: 0.3, maximum: 10 })], {
        description: 'true, false, or a number from 0.3 to 10',
      }),
    ),
    /** Sigma of the Gaussian, in pixels. */
    blur: Type.Optional(between(0.3, 100)),
    withoutEnlargement: Type.Optional(Type.Boolean()),
    keepMetadata: Type.Optional(
      Type.Union(
        [Type.Boolean(), Type.Array(Type.Enum(['copyright', 'icc']), { minItems: 1, uniqueItems: true })],
        { description: 'true, false, or a list of copyright and icc' },
      ),
    ),
    gamut: Type.Optional(Type.Enum(['srgb', 'p3'])),
    watermark: Type.Optional(Watermark),
    /** Of a document, from 1. The limit is far above all documents that are accepted. */
    page: Type.Optional(Type.Integer({ minimum: 1, maximum: 100_000 })),
    /** Of an animation, from 1. */
    frame: Type.Optional(Type.Integer({ minimum: 1, maximum: 100_000 })),
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
  original: undefined,
} as const satisfies Record<VariantRecipe['format'], { minimum: number; maximum: number } | undefined>

/** A media type, or all of a kind. */
export const acceptPattern = '^[a-z]+/(\\*|[a-z0-9][a-z0-9!#$&^_.+-]*)$'

/** The settings of a preset: the file types that it accepts, and the variants made of each image. */
export const Preset = Type.Object(
  {
    name: ConfiguredName,
    accept: Type.Optional(
      Type.Array(
        Type.String({
          pattern: acceptPattern,
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

/** A list of media types, or of kinds. Without it, every file is accepted. */
type Accepting = Preset | Pick<Preset, 'accept'>

/**
 * Returns whether a preset, or another list of types, accepts files of a type.
 * @param detectedType detected from the bytes; undefined if unknown, which only one without a list accepts
 */
export function acceptsType({ accept }: Accepting, detectedType: string | undefined): boolean {
  if (!accept) return true
  if (detectedType === undefined) return false
  return namesOfType(detectedType).some((name) =>
    accept.some((pattern) =>
      pattern.endsWith('/*') ? name.startsWith(pattern.slice(0, -1)) : name === pattern,
    ),
  )
}

/**
 * Returns whether files that are declared as a type may be accepted. Their bytes decide later.
 * @param declaredType as the client sent it. `application/octet-stream` declares nothing
 */
export function mayAcceptDeclared(list: Accepting, declaredType: string): boolean {
  const type = declaredType.split(';')[0]?.trim().toLowerCase() ?? ''
  if (type === 'application/octet-stream') return true
  return typesNamed(type).some((detectedType) => acceptsType(list, detectedType))
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
