/** Red, green, blue, and alpha if there is one, each from 0 to 255. */
export type Colour = readonly number[]

/** Returns the difference of two colours in sRGB: ΔE*ab (CIE 1976). A trained eye sees some 2.3. */
export function colourDifference(a: Colour, b: Colour): number {
  const [left, right] = [labOf(a), labOf(b)]
  return Math.hypot(...left.map((value, index) => value - (right[index] ?? 0)))
}

function labOf(colour: Colour): number[] {
  const [red = 0, green = 0, blue = 0] = colour.map((code) => {
    const value = code / 255
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4
  })
  // IEC 61966-2-1, and its white D65.
  const f = (ratio: number) => (ratio > 216 / 24_389 ? Math.cbrt(ratio) : ((24_389 / 27) * ratio + 16) / 116)
  const x = f((0.4124 * red + 0.3576 * green + 0.1805 * blue) / 0.9505)
  const y = f(0.2126 * red + 0.7152 * green + 0.0722 * blue)
  const z = f((0.0193 * red + 0.1192 * green + 0.9505 * blue) / 1.089)
  return [116 * y - 16, 500 * (x - y), 200 * (y - z)]
}
