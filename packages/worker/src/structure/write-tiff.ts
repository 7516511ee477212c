import { photometrics } from './tiff-encoding.ts'

/** Pixels of 16 bits, and what they are. */
export type PlainTiff = {
  width: number
  height: number
  /** Rows from the top, channels interleaved. */
  pixels: Uint16Array
  photometric: number
  /** Channels without alpha. */
  colours: number
  alpha?: 'straight' | 'premultiplied'
  /** Values of EXIF's orientation. */
  orientation: number
  iccProfile?: Buffer
}

const short = 3
const long = 4
const bytes = 7

/** Writes a TIFF of one strip without compression, which every decoder reads (TIFF 6.0, part 1). */
export function writePlainTiff(image: PlainTiff): Buffer {
  const { width, height, pixels, photometric, colours, alpha, orientation, iccProfile } = image
  const samples = colours + (alpha ? 1 : 0)
  const strip = Buffer.from(pixels.buffer, pixels.byteOffset, pixels.byteLength)
  const headBytes = 8
  const directoryAt = headBytes + strip.length
  const values: [number, number, number[] | Buffer][] = [
    [256, long, [width]],
    [257, long, [height]],
    [258, short, Array.from({ length: samples }, () => 16)],
    [259, short, [1]],
    [262, short, [photometric ?? photometrics.rgb]],
    [273, long, [headBytes]],
    [274, short, [orientation]],
    [277, short, [samples]],
    [278, long, [height]],
    [279, long, [strip.length]],
    ...(alpha
      ? ([[338, short, [alpha === 'premultiplied' ? 1 : 2]]] satisfies [number, number, number[]][])
      : []),
    ...(iccProfile ? ([[34_675, bytes, iccProfile]] satisfies [number, number, Buffer][]) : []),
  ]
  const directory = Buffer.alloc(2 + 12 * values.length + 4)
  directory.writeUInt16LE(values.length)
  const data: Buffer[] = []
  let dataAt = directoryAt + directory.length
  for (const [index, [tag, type, list]] of values.entries()) {
    const at = 2 + 12 * index
    const value = Buffer.isBuffer(list) ? list : numbers(list, type)
    directory.writeUInt16LE(tag, at)
    directory.writeUInt16LE(type, at + 2)
    directory.writeUInt32LE(list.length, at + 4)
    if (value.length <= 4) value.copy(directory, at + 8)
    else {
      directory.writeUInt32LE(dataAt, at + 8)
      const padded = value.length % 2 === 0 ? value : Buffer.concat([value, Buffer.alloc(1)])
      data.push(padded)
      dataAt += padded.length
    }
  }
  const head = Buffer.from('II*\0\0\0\0\0', 'latin1')
  head.writeUInt32LE(directoryAt, 4)
  return Buffer.concat([head, strip, directory, ...data])
}

function numbers(list: number[], type: number): Buffer {
  const size = type === short ? 2 : 4
  const value = Buffer.alloc(size * list.length)
  for (const [index, number] of list.entries()) value.writeUIntLE(number, size * index, size)
  return value
}
