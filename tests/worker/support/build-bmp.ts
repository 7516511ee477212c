/** How a BMP stores its pixels. Each form has four quarters of red, green, blue and yellow. */
export type BmpForm =
  | 'core'
  | 'bits1'
  | 'bits4'
  | 'bits8'
  | 'bits16'
  | 'masks565'
  | 'bits24'
  | 'bits32'
  | 'alphaMask'
  | 'rle4'
  | 'rle8'

/** Odd sizes, so that rows have padding and bits. */
export const bmpSize = { width: 17, height: 11 }
const palette = [
  [220, 30, 30],
  [30, 200, 40],
  [30, 40, 210],
  [210, 200, 30],
] as const
export const bmpColours = palette

/** The index of the colour of a pixel. The picture of 1 bit has two colours. */
function indexAt(x: number, y: number): number {
  return (y * 2 < bmpSize.height ? 0 : 2) + (x * 2 < bmpSize.width ? 0 : 1)
}

const integers = (bytes: 2 | 4, ...values: number[]) => {
  const buffer = Buffer.alloc(bytes * values.length)
  for (const [index, value] of values.entries()) {
    buffer.writeIntLE(bytes === 4 ? value | 0 : (value << 16) >> 16, index * bytes, bytes)
  }
  return buffer
}

/**
 * Writes a BMP.
 * @param options.isTopDown with the first row first
 * @param options.profile an ICC profile, in a header of version 5
 */
export function buildBmp(
  form: BmpForm,
  { isTopDown = false, profile }: { isTopDown?: boolean; profile?: Buffer } = {},
): Buffer {
  const { width, height } = bmpSize
  const [bits, compression] = layouts[form]
  const lines = Array.from({ length: height }, (_, row) => (isTopDown ? row : height - 1 - row))
  const runs = form === 'rle4' ? runs4 : form === 'rle8' ? runs8 : undefined
  const pixels = Buffer.concat([
    ...lines.map((y) => {
      const indexes = Array.from({ length: width }, (_, x) => indexAt(x, y))
      return runs ? runs(indexes) : pad(packRow(form, indexes))
    }),
    ...(runs ? [Buffer.from([0, 1])] : []),
  ])
  const masks = form === 'masks565' ? [0xf800, 0x7e0, 0x1f] : []
  const colours = bits > 8 ? [] : palette.slice(0, Math.min(4, 2 ** bits))
  const table = Buffer.concat(
    colours.map(([red, green, blue]) =>
      Buffer.from(form === 'core' ? [blue, green, red] : [blue, green, red, 0]),
    ),
  )
  let header: Buffer
  if (form === 'core') header = Buffer.concat([integers(4, 12), integers(2, width, height, 1, bits)])
  else {
    header = Buffer.alloc(form === 'alphaMask' ? 108 : profile ? 124 : 40)
    integers(4, header.length, width, isTopDown ? -height : height).copy(header)
    integers(2, 1, bits).copy(header, 12)
    integers(4, compression, pixels.length, 2835, 2835, colours.length, 0).copy(header, 16)
    if (form === 'alphaMask') integers(4, 0xff, 0xff00, 0xff0000, 0xff000000).copy(header, 40)
    if (profile) {
      header.write('DEBM', 56, 'latin1')
      integers(4, header.length + table.length + pixels.length, profile.length).copy(header, 112)
    }
  }
  const start = 14 + header.length + 4 * masks.length + table.length
  const total = start + pixels.length + (profile?.length ?? 0)
  return Buffer.concat([
    Buffer.from('BM'),
    integers(4, total, 0, start),
    header,
    integers(4, ...masks),
    table,
    pixels,
    ...(profile ? [profile] : []),
  ])
}

const layouts: Record<BmpForm, [bits: number, compression: number]> = {
  core: [4, 0],
  bits1: [1, 0],
  bits4: [4, 0],
  bits8: [8, 0],
  bits16: [16, 0],
  masks565: [16, 3],
  bits24: [24, 0],
  bits32: [32, 0],
  alphaMask: [32, 3],
  rle4: [4, 2],
  rle8: [8, 1],
}

function packRow(form: BmpForm, indexes: number[]): Buffer {
  const scale = (value: number, bits: number) => Math.round((value * (2 ** bits - 1)) / 255)
  switch (form) {
    case 'bits1':
      return packBits(
        indexes.map((index) => index & 1),
        1,
      )
    case 'core':
    case 'bits4':
      return packBits(indexes, 4)
    default:
  }
  return Buffer.concat(
    indexes.map((index) => {
      const [red, green, blue] = palette[index] ?? [0, 0, 0]
      switch (form) {
        case 'bits16':
          return integers(2, (scale(red, 5) << 10) | (scale(green, 5) << 5) | scale(blue, 5))
        case 'masks565':
          return integers(2, (scale(red, 5) << 11) | (scale(green, 6) << 5) | scale(blue, 5))
        case 'bits24':
          return Buffer.from([blue, green, red])
        case 'bits32':
          return Buffer.from([blue, green, red, 0])
        case 'alphaMask':
          return Buffer.from([red, green, blue, index < 2 ? 255 : 128])
        default:
          return Buffer.from([index])
      }
    }),
  )
}

function packBits(values: number[], bits: number): Buffer {
  const row = Buffer.alloc(Math.ceil((values.length * bits) / 8))
  for (const [index, value] of values.entries()) {
    const bit = index * bits
    row[bit >> 3] = (row[bit >> 3] ?? 0) | (value << (8 - bits - (bit & 7)))
  }
  return row
}

function pad(row: Buffer): Buffer {
  return Buffer.concat([row, Buffer.alloc((4 - (row.length % 4)) % 4)])
}

/** A run, then pixels as they are, then the end of the line. */
function runs8(indexes: number[]): Buffer {
  const rest = indexes.slice(9)
  return Buffer.from([9, indexes[0] ?? 0, 0, rest.length, ...rest, ...(rest.length % 2 ? [0] : []), 0, 0])
}

function runs4(indexes: number[]): Buffer {
  const first = indexes[0] ?? 0
  const rest = packBits(indexes.slice(9), 4)
  return Buffer.from([9, first * 17, 0, indexes.length - 9, ...rest, ...(rest.length % 2 ? [0] : []), 0, 0])
}
