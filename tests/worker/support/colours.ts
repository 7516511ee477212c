import type { Preset } from '@millrace/shared/presets/preset.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import type { ImageKind } from '@millrace/worker/formats/image-kind.ts'
import { openImage } from '@millrace/worker/formats/open-image.ts'
import { renderVariants } from '@millrace/worker/images/render-variants.ts'
import sharp from 'sharp'

/** Red, green, blue, and alpha if there is any transparency; 0 to 255. */
export type Colour = readonly number[]

/** The colours of the quarters of `flagPixel`: top left, top right, bottom left, bottom right. */
export const flagColours = [
  [200, 30, 20],
  [40, 180, 60],
  [30, 50, 190],
  [220, 200, 40],
] as const
export const flagSize = { width: 64, height: 48 }

/** Returns the colour of a picture of four quarters, without noise, so that decoders can be compared exactly. */
export function flagPixel(x: number, y: number): readonly [number, number, number] {
  const { width, height } = flagSize
  const [topLeft, topRight, bottomLeft, bottomRight] = flagColours
  if (y < height / 2) return x < width / 2 ? topLeft : topRight
  return x < width / 2 ? bottomLeft : bottomRight
}

/** Makes the picture of `flagPixel`, with the quarters' colours rotated by some steps. */
export function flagPicture(steps = 0) {
  const { width, height } = flagSize
  const colourOf = (x: number, y: number) => {
    const index = (x < width / 2 ? 0 : 1) + (y < height / 2 ? 0 : 2)
    return flagColours[(index + steps) % 4] ?? flagColours[0]
  }
  const pixels = Array.from({ length: width * height }, (_, i) => colourOf(i % width, Math.floor(i / width)))
  return sharp(Buffer.from(pixels.flat()), { raw: { width, height, channels: 3 } })
}

/** Returns the colours in the middle of the quarters of a picture's first page. */
export async function quarterColours(encoded: Buffer, page = 0): Promise<Colour[]> {
  const { data, info } = await sharp(encoded, { page })
    .toColourspace('srgb')
    .ensureAlpha()
    .raw()
    .toBuffer({ resolveWithObject: true })
  return [
    [0.25, 0.25],
    [0.75, 0.25],
    [0.25, 0.75],
    [0.75, 0.75],
  ].map(([x = 0, y = 0]) => {
    const at = (Math.floor(info.height * y) * info.width + Math.floor(info.width * x)) * 4
    const colour = [...data.subarray(at, at + 4)]
    return colour[3] === 255 ? colour.slice(0, 3) : colour
  })
}

const variant = { fit: 'inside', width: 400, quality: 100 } as const
const still: Preset = { name: 'still', variants: [{ name: 'only', format: 'png', ...variant }] }
/** Two variants, so that an animation is encoded beside a picture. */
export const animated: Preset = {
  name: 'animated',
  variants: [...still.variants, { name: 'moving', format: 'webp', effort: 0, ...variant }],
}

/** Opens and renders a file as a decoder does. */
export async function renderFile(kind: ImageKind, bytes: Buffer, preset: Preset = still) {
  const image = await openImage(kind, bytes, { maxPixels: 100_000_000 })
  const bodies: Record<string, Buffer> = {}
  await renderVariants(image, preset, {
    emit: ({ recipe, body }) => {
      bodies[recipe.name] = body
    },
    signal: new AbortController().signal,
  })
  const { only = Buffer.alloc(0), moving = Buffer.alloc(0) } = bodies
  return { image, picture: only, moving, colours: await quarterColours(only) }
}

/** Returns the code and the message with which a file is rejected, or `ready`. */
export async function outcomeOf(kind: ImageKind, bytes: Buffer): Promise<string> {
  return renderFile(kind, bytes).then(
    () => 'ready',
    (error: unknown) => {
      if (error instanceof AppError) return `${error.code}: ${error.message}`
      throw error
    },
  )
}

/** Returns the largest difference of two lists of colours, as ΔE of CIE 1976; a difference of alpha counts as it is. */
export function largestDifference(found: readonly Colour[], expected: readonly Colour[]): number {
  return Math.max(...found.map((colour, index) => difference(colour, expected[index] ?? [])))
}

function difference(one: Colour, other: Colour): number {
  const [a, b] = [labOf(one), labOf(other)]
  const distance = Math.hypot(...a.map((value, index) => value - (b[index] ?? Number.POSITIVE_INFINITY)))
  return Math.max(distance, Math.abs((one[3] ?? 255) - (other[3] ?? 255)))
}

/** sRGB to CIE L*a*b*, of D65. */
function labOf([red = 0, green = 0, blue = 0]: Colour): [number, number, number] {
  const linear = (value: number) =>
    value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4
  const [r, g, b] = [linear(red), linear(green), linear(blue)]
  const f = (t: number) => (t > 0.008856 ? Math.cbrt(t) : 7.787 * t + 16 / 116)
  const x = f((0.4124 * r + 0.3576 * g + 0.1805 * b) / 0.9505)
  const y = f(0.2126 * r + 0.7152 * g + 0.0722 * b)
  const z = f((0.0193 * r + 0.1192 * g + 0.9505 * b) / 1.089)
  return [116 * y - 16, 500 * (x - y), 200 * (y - z)]
}
