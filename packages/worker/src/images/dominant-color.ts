import type { SmallPicture } from './small-picture.ts'

/** Colours are counted in cubes of this side, so that shades of one colour count together. */
const cubeSide = 32
const cubesPerSide = 256 / cubeSide
/** Alpha below it is not seen as a colour. */
const visibleAlpha = 32

/**
 * Finds the colour that most of a picture has: the average of the fullest of 512 cubes of similar colours.
 *
 * @returns sRGB as `#rrggbb`; undefined if nothing is visible
 */
export function dominantColor({ rgba }: SmallPicture): string | undefined {
  // For each cube: the sum of alpha, and of the colours weighted with it.
  const sums = new Float64Array(cubesPerSide ** 3 * 4)
  let fullest = 0
  for (let at = 0; at < rgba.length; at += 4) {
    const [red = 0, green = 0, blue = 0, alpha = 0] = [rgba[at], rgba[at + 1], rgba[at + 2], rgba[at + 3]]
    if (alpha < visibleAlpha) continue
    const cube =
      ((red / cubeSide) | 0) * cubesPerSide ** 2 +
      ((green / cubeSide) | 0) * cubesPerSide +
      ((blue / cubeSide) | 0)
    const place = cube * 4
    add(sums, place, alpha)
    add(sums, place + 1, red * alpha)
    add(sums, place + 2, green * alpha)
    add(sums, place + 3, blue * alpha)
    if ((sums[place] ?? 0) > (sums[fullest] ?? 0)) fullest = place
  }
  const total = sums[fullest] ?? 0
  if (total === 0) return undefined
  const hex = (channel: number) =>
    Math.round((sums[fullest + channel] ?? 0) / total)
      .toString(16)
      .padStart(2, '0')
  return `#${hex(1)}${hex(2)}${hex(3)}`
}

function add(sums: Float64Array, place: number, value: number): void {
  sums[place] = (sums[place] ?? 0) + value
}
