import { inflateSync, zstdDecompressSync } from 'node:zlib'
import { AppError } from '@millrace/shared/service/app-error.ts'
import { blocksOf, openDirectory, tags, type WrittenValue } from '../tiff/tiff-directory.ts'
import { compressions, photometrics, sampleFormats, type TiffEncoding } from '../tiff/tiff-encoding.ts'
import { libraryPixelLimit } from './library-pixel-limit.ts'
import { sharp } from './sharp-setup.ts'

/** The decompressed bytes of one plane: rows of `rowBytes`, in samples of the file's byte order. */
export type Plane = { bytes: Buffer; rowBytes: number; samples: number }

/** The grid in which a plane is stored: strips are tiles of the whole width. */
type Grid = { across: number; down: number; tileRowBytes: number; tileHeight: number }

/**
 * Decompresses a page without interpreting its samples, so that samples can be read that libvips does not know.
 *
 * @returns one plane, or one for each sample if the page is planar
 * @throws any error if the data is damaged, AppError `image_too_large` if a strip is beyond libvips
 */
export async function readPlanes(file: Buffer, page: number, encoding: TiffEncoding): Promise<Plane[]> {
  const { bits, isPlanar } = encoding
  const directory = openDirectory(file, page)
  const [offsets, byteCounts] = directory ? blocksOf(file, directory.layout, directory.entries) : [[], []]
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
  const { compression, fillOrder } = encoding
  const unpack = fillOrder === 1 ? unpackers[compression] : undefined
  const rowBytes = grid.across * grid.tileRowBytes
  const plane = Buffer.alloc(rowBytes * planeRows(encoding, grid))
  if (unpack) {
    for (let index = 0; index < grid.across * grid.down; index++)
      unpackBlock(file, plane, grid, blocks, index, unpack)
    return plane
  }
  // libvips has a limit of pixels, which are bytes here. So it gets some rows of blocks at a time.
  const blockRows = Math.floor(libraryPixelLimit / (rowBytes * grid.tileHeight))
  if (blockRows === 0) {
    const limit = libraryPixelLimit
    throw new AppError('image_too_large', {
      message: `The TIFF has a strip of more than ${limit} bytes.`,
      limit,
    })
  }
  for (let row = 0; row < grid.down; row += blockRows) {
    const part = await readByLibvips(file, encoding, grid, blocks, row, Math.min(blockRows, grid.down - row))
    part.copy(plane, row * grid.tileHeight * rowBytes)
  }
  return plane
}

/** Rows of a plane. Tiles reach beyond the image, strips do not. */
function planeRows({ tile, height }: TiffEncoding, grid: Grid): number {
  return tile ? grid.down * grid.tileHeight : height
}

/** What needs no libtiff. @param limit of the result, in bytes */
const unpackers: Readonly<Record<number, (packed: Buffer, limit: number) => Buffer>> = {
  [compressions.none]: (packed) => packed,
  [compressions.deflate]: (packed, limit) => inflateSync(packed, { maxOutputLength: limit }),
  [compressions.oldDeflate]: (packed, limit) => inflateSync(packed, { maxOutputLength: limit }),
  [compressions.zstd]: (packed, limit) => zstdDecompressSync(packed, { maxOutputLength: limit }),
}

function unpackBlock(
  file: Buffer,
  plane: Buffer,
  grid: Grid,
  { offsets, byteCounts }: Blocks,
  index: number,
  unpack: (packed: Buffer, limit: number) => Buffer,
): void {
  const rowBytes = grid.across * grid.tileRowBytes
  const start = offsets[index] ?? 0
  const top = Math.floor(index / grid.across) * grid.tileHeight
  const left = (index % grid.across) * grid.tileRowBytes
  const rows = Math.min(grid.tileHeight, plane.length / rowBytes - top)
  // Some encoders fill the last strip.
  const limit = grid.tileHeight * grid.tileRowBytes + 1024
  const bytes = unpack(file.subarray(start, start + (byteCounts[index] ?? 0)), limit)
  if (bytes.length < rows * grid.tileRowBytes) throw new Error(`Strip or tile ${index + 1} is too short.`)
  for (let row = 0; row < rows; row++) {
    bytes.copy(plane, (top + row) * rowBytes + left, row * grid.tileRowBytes, (row + 1) * grid.tileRowBytes)
  }
}

/** Reads rows of strips or tiles as a grey image whose pixels are their bytes. */
async function readByLibvips(
  file: Buffer,
  encoding: TiffEncoding,
  grid: Grid,
  { offsets, byteCounts }: Blocks,
  firstRow: number,
  blockRows: number,
): Promise<Buffer> {
  const layout = openDirectory(file)?.layout
  if (!layout) throw new Error('The directory is missing.')
  const rowBytes = grid.across * grid.tileRowBytes
  const rows = Math.min(blockRows * grid.tileHeight, planeRows(encoding, grid) - firstRow * grid.tileHeight)
  const short = (value: number): WrittenValue => ({ type: 3, count: 1, value: layout.uint16s([value]) })
  const long = (values: number[]): WrittenValue => ({
    type: 4,
    count: values.length,
    value: layout.uint32s(values),
  })
  const of = (numbers: number[]) =>
    numbers.slice(firstRow * grid.across, (firstRow + blockRows) * grid.across)
  const asBytes = layout.withDirectory([
    [tags.imageWidth, long([rowBytes])],
    [tags.imageLength, long([rows])],
    [tags.bitsPerSample, short(8)],
    [tags.compression, short(encoding.compression)],
    [tags.photometric, short(photometrics.black)],
    [tags.fillOrder, short(encoding.fillOrder)],
    ...(encoding.tile
      ? ([
          [tags.samplesPerPixel, short(1)],
          [tags.tileWidth, long([grid.tileRowBytes])],
          [tags.tileLength, long([grid.tileHeight])],
          [tags.tileOffsets, long(of(offsets))],
          [tags.tileByteCounts, long(of(byteCounts))],
        ] satisfies [number, WrittenValue][])
      : ([
          [tags.stripOffsets, long(of(offsets))],
          [tags.samplesPerPixel, short(1)],
          [tags.rowsPerStrip, long([grid.tileHeight])],
          [tags.stripByteCounts, long(of(byteCounts))],
        ] satisfies [number, WrittenValue][])),
  ])
  const { data, info } = await sharp(asBytes, { failOn: 'warning' })
    .toColourspace('b-w')
    .raw()
    .toBuffer({ resolveWithObject: true })
  if (info.channels !== 1 || info.width !== rowBytes) throw new Error('The bytes were not read as they are.')
  return data
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
