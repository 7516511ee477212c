import { zstdDecompressSync } from 'node:zlib'
import { openDirectory, type WrittenValue } from '../structure/tiff-directory.ts'
import { compressions, sampleFormats, type TiffEncoding } from '../structure/tiff-encoding.ts'
import { sharp } from './sharp-setup.ts'

/** The decompressed bytes of one plane: rows of `rowBytes`, in samples of the file's byte order. */
export type Plane = { bytes: Buffer; rowBytes: number; samples: number }

/** The grid in which a plane is stored: strips are tiles of the whole width. */
type Grid = { across: number; down: number; tileRowBytes: number; tileHeight: number }

/**
 * Decompresses a page without interpreting its samples: as a grey image whose pixels are the bytes. So samples that libvips
 * does not know can be read, with the decompression of libtiff.
 *
 * @returns one plane, or one for each sample if the page is planar
 * @throws any error if the data is damaged
 */
export async function readPlanes(file: Buffer, encoding: TiffEncoding): Promise<Plane[]> {
  const { bits, isPlanar, offsets, byteCounts } = encoding
  const samples = isPlanar ? 1 : bits.length
  const grid = gridOf(encoding, samples)
  const blocks = grid.across * grid.down
  const planes: Plane[] = []
  for (let plane = 0; plane < (isPlanar ? bits.length : 1); plane++) {
    const of = (numbers: number[]) => numbers.slice(plane * blocks, (plane + 1) * blocks)
    const bytes = await readPlane(file, encoding, grid, { offsets: of(offsets), byteCounts: of(byteCounts) })
    undoPredictor(bytes, encoding, grid, samples)
    planes.push({ bytes, rowBytes: grid.across * grid.tileRowBytes, samples })
  }
  return planes
}

/** Where a pixel's first sample is in a plane's row, in bits. A tile's row may be padded to whole bytes. */
export function bitOffset({ tile, bits }: TiffEncoding, samples: number, x: number): number {
  const pixelBits = samples * (bits[0] ?? 8)
  if (!tile) return x * pixelBits
  const column = Math.floor(x / tile.width)
  return column * Math.ceil((tile.width * pixelBits) / 8) * 8 + (x % tile.width) * pixelBits
}

function gridOf({ width, height, tile, rowsPerStrip, bits }: TiffEncoding, samples: number): Grid {
  const bytes = (pixels: number) => Math.ceil((pixels * samples * (bits[0] ?? 8)) / 8)
  if (!tile) {
    return {
      across: 1,
      down: Math.ceil(height / rowsPerStrip),
      tileRowBytes: bytes(width),
      tileHeight: rowsPerStrip,
    }
  }
  return {
    across: Math.ceil(width / tile.width),
    down: Math.ceil(height / tile.height),
    tileRowBytes: bytes(tile.width),
    tileHeight: tile.height,
  }
}

type Blocks = { offsets: number[]; byteCounts: number[] }

async function readPlane(file: Buffer, encoding: TiffEncoding, grid: Grid, blocks: Blocks): Promise<Buffer> {
  if (blocks.offsets.length < grid.across * grid.down) throw new Error('Strips or tiles are missing.')
  if (encoding.compression === compressions.zstd) return unpackZstd(file, encoding, grid, blocks)
  const { tile, height } = encoding
  const rowBytes = grid.across * grid.tileRowBytes
  const rows = tile ? grid.down * grid.tileHeight : height
  const layout = openDirectory(file)?.layout
  if (!layout) throw new Error('The directory is missing.')
  const short = (value: number): WrittenValue => ({ type: 3, count: 1, value: layout.uint16s([value]) })
  const long = (values: number[]): WrittenValue => ({
    type: 4,
    count: values.length,
    value: layout.uint32s(values),
  })
  const asBytes = layout.withDirectory([
    [256, long([rowBytes])],
    [257, long([rows])],
    [258, short(8)],
    [259, short(encoding.compression)],
    [262, short(1)],
    [266, short(encoding.fillOrder)],
    ...(tile ? [] : ([[273, long(blocks.offsets)]] satisfies [number, WrittenValue][])),
    [277, short(1)],
    ...(tile
      ? ([
          [322, long([grid.tileRowBytes])],
          [323, long([grid.tileHeight])],
          [324, long(blocks.offsets)],
          [325, long(blocks.byteCounts)],
        ] satisfies [number, WrittenValue][])
      : ([
          [278, long([grid.tileHeight])],
          [279, long(blocks.byteCounts)],
        ] satisfies [number, WrittenValue][])),
  ])
  const { data, info } = await sharp(asBytes, { failOn: 'warning' })
    .toColourspace('b-w')
    .raw()
    .toBuffer({ resolveWithObject: true })
  if (info.channels !== 1 || info.width !== rowBytes) throw new Error('The bytes were not read as they are.')
  return data
}

function unpackZstd(file: Buffer, { tile, height }: TiffEncoding, grid: Grid, blocks: Blocks): Buffer {
  const rowBytes = grid.across * grid.tileRowBytes
  const plane = Buffer.alloc(rowBytes * (tile ? grid.down * grid.tileHeight : height))
  for (const [index, start] of blocks.offsets.slice(0, grid.across * grid.down).entries()) {
    const packed = file.subarray(start, start + (blocks.byteCounts[index] ?? 0))
    const top = Math.floor(index / grid.across) * grid.tileHeight
    const left = (index % grid.across) * grid.tileRowBytes
    const rows = Math.min(grid.tileHeight, plane.length / rowBytes - top)
    const bytes = zstdDecompressSync(packed, { maxOutputLength: grid.tileHeight * grid.tileRowBytes })
    if (bytes.length < rows * grid.tileRowBytes) throw new Error(`Strip or tile ${index + 1} is too short.`)
    for (let row = 0; row < rows; row++) {
      bytes.copy(plane, (top + row) * rowBytes + left, row * grid.tileRowBytes, (row + 1) * grid.tileRowBytes)
    }
  }
  return plane
}

/** Undoes TIFF 6.0, section 14, and the technical note 3 of Adobe about floating point numbers. */
function undoPredictor(
  bytes: Buffer,
  { predictor, bits, sampleFormat, isLittleEndian }: TiffEncoding,
  { tileRowBytes }: Grid,
  samples: number,
): void {
  const size = (bits[0] ?? 8) / 8
  if (predictor === 1) return
  if (![1, 2, 4, 8].includes(size)) throw new Error(`Predictor ${predictor} does not fit ${8 * size} bits.`)
  for (let at = 0; at + tileRowBytes <= bytes.length; at += tileRowBytes) {
    const row = bytes.subarray(at, at + tileRowBytes)
    if (predictor === 2) addDifferences(row, size, samples, isLittleEndian)
    else if (predictor === 3 && sampleFormat === sampleFormats.float) {
      addDifferences(row, 1, samples, isLittleEndian)
      joinByteColumns(row, size, isLittleEndian)
    } else throw new Error(`Predictor ${predictor} is unknown.`)
  }
}

/** Adds to each sample the one of the pixel before. */
function addDifferences(row: Buffer, size: number, samples: number, isLittleEndian: boolean): void {
  const step = samples * size
  for (let at = step; at + size <= row.length; at += size) {
    let carry = 0
    for (let byte = 0; byte < size; byte++) {
      const place = at + (isLittleEndian ? byte : size - 1 - byte)
      const sum = (row[place] ?? 0) + (row[place - step] ?? 0) + carry
      row[place] = sum & 0xff
      carry = sum >> 8
    }
  }
}

/** A row has the highest bytes of all numbers first, then the next ones. */
function joinByteColumns(row: Buffer, size: number, isLittleEndian: boolean): void {
  const columns = Buffer.from(row)
  const count = Math.floor(row.length / size)
  for (let index = 0; index < count; index++) {
    for (let byte = 0; byte < size; byte++) {
      row[index * size + (isLittleEndian ? size - 1 - byte : byte)] = columns[byte * count + index] ?? 0
    }
  }
}
