import { flagPixel, flagSize } from './colours.ts'

export type TiffValue = number | readonly number[]

/** Tags by number. Values are written as 16 bits (SHORT), those above as 32 bits (LONG). */
export type TiffTags = Readonly<Record<number, TiffValue | undefined>>

/** Writes a little-endian TIFF with one directory. Offsets and counts of the strips are added; `undefined` drops a tag. */
export function tiffFile(tags: TiffTags, strips: readonly Buffer[]): Buffer {
  const body = strips.map((strip) =>
    strip.length % 2 === 0 ? strip : Buffer.concat([strip, Buffer.alloc(1)]),
  )
  let end = 8
  const offsets = body.map((strip) => {
    end += strip.length
    return end - strip.length
  })
  const all = { 273: offsets, 279: strips.map(({ length }) => length), ...tags }
  const entries = Object.entries(all).flatMap(([tag, value]) =>
    value === undefined ? [] : [[Number(tag), typeof value === 'number' ? [value] : value] as const],
  )
  const directory = Buffer.alloc(2 + 12 * entries.length + 4)
  directory.writeUInt16LE(entries.length)
  const data: Buffer[] = []
  let dataAt = end + directory.length
  for (const [index, [tag, values]] of entries.entries()) {
    const at = 2 + 12 * index
    const size = tag === 273 || tag === 279 || values.some((value) => value > 0xffff) ? 4 : 2
    const value = Buffer.alloc(Math.max(4, values.length * size))
    for (const [i, number] of values.entries()) value.writeUIntLE(number, i * size, size)
    directory.writeUInt16LE(tag, at)
    directory.writeUInt16LE(size === 4 ? 4 : 3, at + 2)
    directory.writeUInt32LE(values.length, at + 4)
    if (values.length * size <= 4) value.copy(directory, at + 8)
    else {
      directory.writeUInt32LE(dataAt, at + 8)
      data.push(value)
      dataAt += value.length
    }
  }
  const head = Buffer.from('II*\0\0\0\0\0', 'latin1')
  head.writeUInt32LE(end, 4)
  return Buffer.concat([head, ...body, directory, ...data])
}

/** How the flag's pixels become samples. */
export type FlagTiff = {
  samples: number
  bits: number | readonly number[]
  photometric?: number
  tags?: TiffTags
  /** Bytes of one pixel. */
  pixel: (colour: readonly [number, number, number]) => Buffer
}

/** Makes a TIFF of the flag. */
export function flagTiff({ samples, bits, photometric = 2, tags = {}, pixel }: FlagTiff): Buffer {
  return tiffFile(
    {
      256: flagSize.width,
      257: flagSize.height,
      258: typeof bits === 'number' ? Array.from({ length: samples }, () => bits) : bits,
      259: 1,
      262: photometric,
      277: samples,
      278: flagSize.height,
      ...tags,
    },
    [flagPixels(pixel)],
  )
}

/** Returns all pixels of the flag, row by row. */
export function flagPixels(pixel: FlagTiff['pixel']): Buffer {
  const { width, height } = flagSize
  return Buffer.concat(
    Array.from({ length: width * height }, (_, i) => pixel(flagPixel(i % width, Math.floor(i / width)))),
  )
}

/** Returns bytes of a number for each value. */
export function packed(
  values: readonly number[],
  bytes: number,
  write: (view: DataView, at: number, value: number) => void,
): Buffer {
  const view = new DataView(new ArrayBuffer(values.length * bytes))
  for (const [index, value] of values.entries()) write(view, index * bytes, value)
  return Buffer.from(view.buffer)
}
