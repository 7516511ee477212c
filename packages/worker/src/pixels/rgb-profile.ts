/** Chromaticities of red, green, blue and white, x and y, by the code of ITU-T H.273, table 2. */
const primaries: Record<number, readonly [x: number, y: number][]> = {
  4: [
    [0.67, 0.33],
    [0.21, 0.71],
    [0.14, 0.08],
    [0.31, 0.316],
  ],
  5: [
    [0.64, 0.33],
    [0.29, 0.6],
    [0.15, 0.06],
    [0.3127, 0.329],
  ],
  6: [
    [0.63, 0.34],
    [0.31, 0.595],
    [0.155, 0.07],
    [0.3127, 0.329],
  ],
  7: [
    [0.63, 0.34],
    [0.31, 0.595],
    [0.155, 0.07],
    [0.3127, 0.329],
  ],
  9: [
    [0.708, 0.292],
    [0.17, 0.797],
    [0.131, 0.046],
    [0.3127, 0.329],
  ],
  11: [
    [0.68, 0.32],
    [0.265, 0.69],
    [0.15, 0.06],
    [0.314, 0.351],
  ],
  12: [
    [0.68, 0.32],
    [0.265, 0.69],
    [0.15, 0.06],
    [0.3127, 0.329],
  ],
}

/** Names in the profile, which a variant may keep. */
const names: Record<number, string> = { 9: 'BT.2020', 11: 'DCI P3', 12: 'Display P3' }

/** ICC.1, 7.2.16: the white of the profile connection space, D50. */
const connectionWhite = [0.9642, 1, 0.8249] as const

/** The Bradford matrix of ICC.1, annex E: cone responses to XYZ values. */
const bradford: Matrix = [
  [0.8951, 0.2664, -0.1614],
  [-0.7502, 1.7135, 0.0367],
  [0.0389, -0.0685, 1.0296],
]

/** sRGB's curve (IEC 61966-2-1), as the parameters of ICC.1, 10.18, function type 3. */
const srgbCurve = [3, 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045] as const
/** Pure powers, function type 0, by the code of H.273, table 3: assumed display gamma of 2.2 and 2.8, and linear. */
const powerCurves: Record<number, readonly [number, number]> = { 4: [0, 2.2], 5: [0, 2.8], 8: [0, 1] }

type Vector = readonly [number, number, number]
type Matrix = readonly [Vector, Vector, Vector]

/**
 * Makes an ICC profile of a colour space that a file names by number.
 *
 * The curves of television (BT.709, BT.601, BT.2020) are taken for sRGB's, as browsers do: pictures are encoded for
 * displays with that curve.
 *
 * @param colourPrimaries code of ITU-T H.273, table 2
 * @param transfer code of ITU-T H.273, table 3
 * @returns undefined if the space is sRGB, or unknown, and then taken for sRGB
 */
export function makeRgbProfile(colourPrimaries: number, transfer: number): Buffer | undefined {
  const curve = powerCurves[transfer]
  const space = primaries[colourPrimaries]
  if (!space && !curve) return undefined
  const [red, green, blue, white] = space ?? [
    [0.64, 0.33],
    [0.3, 0.6],
    [0.15, 0.06],
    [0.3127, 0.329],
  ]
  if (!red || !green || !blue || !white) return undefined
  const curveTag = curveData(curve ?? srgbCurve)
  const name = textData(names[colourPrimaries] ?? `RGB of H.273, ${colourPrimaries}, ${transfer}`)
  const [r, g, b] = columns(colorants([red, green, blue], white))
  return assemble([
    ['desc', name],
    ['cprt', textData('No copyright')],
    ['wtpt', xyzData(connectionWhite)],
    ['rXYZ', xyzData(r)],
    ['gXYZ', xyzData(g)],
    ['bXYZ', xyzData(b)],
    ['rTRC', curveTag],
    ['gTRC', curveTag],
    ['bTRC', curveTag],
  ])
}

/** Computes XYZ values of the primaries, adapted to D50. Each column is a primary. */
function colorants(rgb: [x: number, y: number][], white: [x: number, y: number]): Matrix {
  const [red, green, blue] = rgb.map(xyzOf)
  if (!red || !green || !blue) throw new Error('A colour space has three primaries.')
  const unscaled = columns([red, green, blue])
  const scales = apply(inverse(unscaled), xyzOf(white))
  const scaled = unscaled.map(([a, b, c]) => vector(a * scales[0], b * scales[1], c * scales[2]))
  const from = apply(bradford, xyzOf(white))
  const to = apply(bradford, connectionWhite)
  const adapted = bradford.map(([a, b, c], row) => {
    const ratio = (to[row] ?? 1) / (from[row] ?? 1)
    return vector(a * ratio, b * ratio, c * ratio)
  })
  return multiply(inverse(bradford), multiply(matrix(adapted), matrix(scaled)))
}

function xyzOf([x, y]: [x: number, y: number]): Vector {
  return [x / y, 1, (1 - x - y) / y]
}

function vector(a: number, b: number, c: number): Vector {
  return [a, b, c]
}

function matrix([a, b, c]: Vector[]): Matrix {
  if (!a || !b || !c) throw new Error('A matrix has three rows.')
  return [a, b, c]
}

/** Swaps rows and columns. */
function columns([a, b, c]: Matrix): Matrix {
  return [
    [a[0], b[0], c[0]],
    [a[1], b[1], c[1]],
    [a[2], b[2], c[2]],
  ]
}

function apply(rows: Matrix, [x, y, z]: Vector): Vector {
  const [a, b, c] = rows.map((row) => row[0] * x + row[1] * y + row[2] * z)
  return [a ?? 0, b ?? 0, c ?? 0]
}

function multiply(left: Matrix, right: Matrix): Matrix {
  return columns(matrix(columns(right).map((column) => apply(left, column))))
}

function inverse([a, b, c]: Matrix): Matrix {
  const rows = [cross(b, c), cross(c, a), cross(a, b)]
  const determinant = a[0] * (rows[0]?.[0] ?? 0) + a[1] * (rows[0]?.[1] ?? 0) + a[2] * (rows[0]?.[2] ?? 0)
  return columns(
    matrix(rows.map((row) => vector(row[0] / determinant, row[1] / determinant, row[2] / determinant))),
  )
}

function cross(a: Vector, b: Vector): Vector {
  return [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

/** ICC.1, 4.6: a signed number with 16 bits after the point. */
function fixed(values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(4 * values.length)
  for (const [index, value] of values.entries()) bytes.writeInt32BE(Math.round(value * 65_536), 4 * index)
  return bytes
}

/** ICC.1, 10.31. */
function xyzData(values: readonly number[]): Buffer {
  return Buffer.concat([Buffer.from('XYZ \0\0\0\0', 'latin1'), fixed(values)])
}

/** ICC.1, 10.18: the function's type, then its parameters. */
function curveData([type, ...parameters]: readonly number[]): Buffer {
  return Buffer.concat([
    Buffer.from('para\0\0\0\0', 'latin1'),
    Buffer.from([0, type ?? 0, 0, 0]),
    fixed(parameters),
  ])
}

/** ICC.1, 10.15: one text, in American English. */
function textData(text: string): Buffer {
  const head = Buffer.alloc(28)
  head.write('mluc', 0, 'latin1')
  head.writeUInt32BE(1, 8)
  head.writeUInt32BE(12, 12)
  head.write('enUS', 16, 'latin1')
  head.writeUInt32BE(2 * text.length, 20)
  head.writeUInt32BE(28, 24)
  return Buffer.concat([head, Buffer.from(text, 'utf16le').swap16()])
}

/** ICC.1, 7.2 and 7.3: the header of 128 bytes, the table of tags, their data. */
function assemble(tags: [signature: string, data: Buffer][]): Buffer {
  const header = Buffer.alloc(128)
  const table = Buffer.alloc(4 + 12 * tags.length)
  table.writeUInt32BE(tags.length, 0)
  const parts: Buffer[] = []
  let at = header.length + table.length
  for (const [index, [signature, data]] of tags.entries()) {
    const padded = Buffer.concat([data, Buffer.alloc((4 - (data.length % 4)) % 4)])
    table.write(signature, 4 + 12 * index, 'latin1')
    table.writeUInt32BE(at, 8 + 12 * index)
    table.writeUInt32BE(data.length, 12 + 12 * index)
    parts.push(padded)
    at += padded.length
  }
  header.writeUInt32BE(at, 0)
  header.writeUInt32BE(0x04300000, 8)
  header.write('mntrRGB XYZ ', 12, 'latin1')
  header.write('acsp', 36, 'latin1')
  fixed(connectionWhite).copy(header, 68)
  return Buffer.concat([header, table, ...parts])
}
