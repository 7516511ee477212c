type Matrix = readonly [number, number, number, number, number, number, number, number, number]

/** XYZ to linear sRGB (IEC 61966-2-1). */
const xyzToSrgb: Matrix = [
  3.2404542, -1.5371385, -0.4985314, -0.969266, 1.8760108, 0.041556, 0.0556434, -0.2040259, 1.0572252,
]
/** XYZ to the responses of Bradford's adaptation to another white. */
const bradford: Matrix = [0.8951, 0.2664, -0.1614, -0.7502, 1.7135, 0.0367, 0.0389, -0.0685, 1.0296]
const d65 = [0.95047, 1, 1.08883]

/**
 * Returns the matrix from linear light of some primaries to that of sRGB.
 *
 * @param chromaticities x and y of white, red, green and blue
 * @returns undefined if they are no colours that span anything
 */
export function chromaticMatrix(chromaticities: readonly number[]): readonly number[] | undefined {
  const [white = [], red = [], green = [], blue = []] = [0, 2, 4, 6].map((at) =>
    xyz(chromaticities[at], chromaticities[at + 1]),
  )
  const [rx = 0, ry = 0, rz = 0] = red
  const [gx = 0, gy = 0, gz = 0] = green
  const [bx = 0, by = 0, bz = 0] = blue
  const columns: Matrix = [rx, gx, bx, ry, gy, by, rz, gz, bz]
  const inverse = invert(columns)
  const toCone = invert(bradford)
  if (!inverse || !toCone) return undefined
  const [r = 0, g = 0, b = 0] = apply(inverse, white)
  const toXyz = columns.map((value, index) => value * ([r, g, b][index % 3] ?? 0))
  const [from, to] = [apply(bradford, white), apply(bradford, d65)]
  const gains = [0, 1, 2].map((i) => (to[i] ?? 0) / (from[i] || 1))
  const scaled = bradford.map((value, index) => value * (gains[Math.floor(index / 3)] ?? 1))
  return multiply(xyzToSrgb, multiply(toCone, multiply(scaled, toXyz)))
}

/** The colour of a chromaticity with a luminance of 1. */
function xyz(x = 0, y = 1): number[] {
  return [x / y, 1, (1 - x - y) / y]
}

function apply(matrix: readonly number[], vector: readonly number[]): number[] {
  return [0, 3, 6].map((row) =>
    [0, 1, 2].reduce((sum, i) => sum + (matrix[row + i] ?? 0) * (vector[i] ?? 0), 0),
  )
}

function multiply(one: readonly number[], other: readonly number[]): number[] {
  const columns = [0, 1, 2].map((column) =>
    apply(
      one,
      [0, 3, 6].map((row) => other[row + column] ?? 0),
    ),
  )
  return [0, 1, 2].flatMap((row) => columns.map((column) => column[row] ?? 0))
}

function invert([a, b, c, d, e, f, g, h, i]: Matrix): number[] | undefined {
  const determinant = a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)
  if (Math.abs(determinant) < 1e-9) return undefined
  return [
    e * i - f * h,
    c * h - b * i,
    b * f - c * e,
    f * g - d * i,
    a * i - c * g,
    c * d - a * f,
    d * h - e * g,
    b * g - a * h,
    a * e - b * d,
  ].map((value) => value / determinant)
}
