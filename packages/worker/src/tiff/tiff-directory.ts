import { partLimits } from '../structure/structure.ts'

/** Tags of TIFF 6.0 and its supplements that are read here. */
export const tags = {
  imageWidth: 256,
  imageLength: 257,
  bitsPerSample: 258,
  compression: 259,
  photometric: 262,
  fillOrder: 266,
  stripOffsets: 273,
  orientation: 274,
  samplesPerPixel: 277,
  rowsPerStrip: 278,
  stripByteCounts: 279,
  maxSampleValue: 281,
  planarConfiguration: 284,
  predictor: 317,
  tileWidth: 322,
  tileLength: 323,
  tileOffsets: 324,
  tileByteCounts: 325,
  extraSamples: 338,
  sampleFormat: 339,
  subsampling: 530,
  iccProfile: 34675,
} as const

/** Bytes of one value by type: TIFF 6.0, section 2; 13 is IFD, 16 to 18 are BigTIFF's. */
export const typeBytes = [0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8, 8, 8]
/** TIFF 6.0: the number of a directory's entries has 16 bits. BigTIFF's has 64, which no file needs. */
const maxEntries = 65_535
/** Strips or tiles of a page. An image of 268 megapixels in tiles of 16 × 16 has a million. */
const maxBlocks = 1_100_000

export type Entry = { tag: number; type: number; count: number; at: number }

/** The differences between TIFF and BigTIFF, and between byte orders. */
export type Layout = NonNullable<ReturnType<typeof layoutOf>>

/** The value of a tag in a directory that is written. */
export type WrittenValue = { type: number; count: number; value: Buffer }

/** A page's directory and how to read it. */
export type Directory = { layout: Layout; entries: Entry[] }

/** @returns undefined if the file ends before, or has no such page */
export function openDirectory(file: Buffer, page = 0): Directory | undefined {
  const layout = layoutOf(file)
  if (!layout) return undefined
  const at = page === 0 ? layout.offset(layout.firstAt) : directoryOffsets(file, layout)[page]
  const entries = at === undefined ? undefined : readDirectory(file, layout, at)
  return entries && { layout, entries }
}

/** @returns undefined if the file ends in its header */
export function layoutOf(file: Buffer) {
  if (file.length < 16) return undefined
  const little = file.toString('latin1', 0, 2) === 'II'
  const u16 = (at: number) => (little ? file.readUInt16LE(at) : file.readUInt16BE(at))
  const u32 = (at: number) => (little ? file.readUInt32LE(at) : file.readUInt32BE(at))
  const u64 = (at: number) => Number(little ? file.readBigUInt64LE(at) : file.readBigUInt64BE(at))
  const big = u16(2) === 43
  const offset = big ? u64 : u32
  /** Writes a number of one of the sizes at a place. */
  function write(target: Buffer, value: number, at: number, bytes: 2 | 4 | 8): void {
    if (bytes === 8)
      little ? target.writeBigUInt64LE(BigInt(value), at) : target.writeBigUInt64BE(BigInt(value), at)
    else little ? target.writeUIntLE(value, at, bytes) : target.writeUIntBE(value, at, bytes)
  }
  const wordBytes = big ? 8 : 4
  const entryBytes = big ? 20 : 12
  const firstAt = big ? 8 : 4
  return {
    little,
    u16,
    u32,
    u64,
    offset,
    firstAt,
    wordBytes,
    entryBytes,
    /** Of the number of entries, in bytes. */
    countBytes: big ? 8 : 2,
    entryCount: (at: number) => (big ? u64(at) : u16(at)),
    uint16s(values: number[]): Buffer {
      const bytes = Buffer.alloc(2 * values.length)
      for (const [index, value] of values.entries()) write(bytes, value, 2 * index, 2)
      return bytes
    },
    uint32s(values: number[]): Buffer {
      const bytes = Buffer.alloc(4 * values.length)
      for (const [index, value] of values.entries()) write(bytes, value, 4 * index, 4)
      return bytes
    },
    /** Returns the file with another first directory, appended. */
    withDirectory(entries: [number, WrittenValue][]): Buffer {
      const countBytes = big ? 8 : 2
      const padding = file.length % 2
      const start = file.length + padding
      const directory = Buffer.alloc(countBytes + entries.length * entryBytes + wordBytes)
      write(directory, entries.length, 0, countBytes)
      const data: Buffer[] = []
      let dataAt = start + directory.length
      for (const [index, [tag, { type, count, value }]] of entries.entries()) {
        const at = countBytes + index * entryBytes
        write(directory, tag, at, 2)
        write(directory, type, at + 2, 2)
        write(directory, count, at + 4, wordBytes)
        const valueAt = at + 4 + wordBytes
        if (value.length <= wordBytes) value.copy(directory, valueAt)
        else {
          write(directory, dataAt, valueAt, wordBytes)
          const padded = value.length % 2 === 0 ? value : Buffer.concat([value, Buffer.alloc(1)])
          data.push(padded)
          dataAt += padded.length
        }
      }
      const repaired = Buffer.concat([file, Buffer.alloc(padding), directory, ...data])
      write(repaired, start, firstAt, wordBytes)
      return repaired
    },
  }
}

/** @returns undefined if the file ends before the directory does */
export function readDirectory(file: Buffer, layout: Layout, start: number): Entry[] | undefined {
  const { wordBytes, entryBytes, countBytes } = layout
  if (start < 8 || start + countBytes > file.length) return undefined
  const count = layout.entryCount(start)
  if (count > maxEntries) return undefined
  if (start + countBytes + count * entryBytes > file.length) return undefined
  return Array.from({ length: count }, (_, index) => {
    const at = start + countBytes + index * entryBytes
    const type = layout.u16(at + 2)
    const values = layout.offset(at + 4)
    const valueAt = at + 4 + wordBytes
    const isInline = values * (typeBytes[type] ?? 0) <= wordBytes
    return { tag: layout.u16(at), type, count: values, at: isInline ? valueAt : layout.offset(valueAt) }
  })
}

/** Returns where the directories of all pages are. It follows the chain of directories, up to one that was already met, the file's end, or the limit. */
function directoryOffsets(file: Buffer, layout: Layout): number[] {
  const met = new Set<number>()
  let at = layout.offset(layout.firstAt)
  while (at !== 0 && !met.has(at) && met.size <= partLimits.pages) {
    if (at + layout.countBytes > file.length) break
    met.add(at)
    const nextAt = at + layout.countBytes + layout.entryCount(at) * layout.entryBytes
    if (nextAt + layout.wordBytes > file.length) break
    at = layout.offset(nextAt)
  }
  return [...met]
}

/** Counts the pages, a few more than the limit at most. */
export function countPages(file: Buffer, layout: Layout): number {
  return directoryOffsets(file, layout).length
}

/** Returns the values of a tag of integers, as far as they lie in the file. */
export function numbersOf(
  file: Buffer,
  layout: Layout,
  entries: Entry[],
  tag: number,
  limit = maxBlocks,
): number[] {
  const entry = entries.find((one) => one.tag === tag)
  const bytes = typeBytes[entry?.type ?? 0] ?? 0
  if (!entry || bytes === 0) return []
  const count = Math.min(entry.count, limit, Math.max(0, Math.floor((file.length - entry.at) / bytes)))
  const read = (at: number) => {
    if (bytes === 8) return layout.u64(at)
    if (bytes === 4) return layout.u32(at)
    return bytes === 2 ? layout.u16(at) : (file[at] ?? 0)
  }
  return Array.from({ length: count }, (_, index) => read(entry.at + index * bytes))
}

/** Returns offsets and byte counts of the page's tiles, or strips. */
export function blocksOf(file: Buffer, layout: Layout, entries: Entry[]): [number[], number[]] {
  const tiles = numbersOf(file, layout, entries, tags.tileOffsets)
  return tiles.length > 0
    ? [tiles, numbersOf(file, layout, entries, tags.tileByteCounts)]
    : [
        numbersOf(file, layout, entries, tags.stripOffsets),
        numbersOf(file, layout, entries, tags.stripByteCounts),
      ]
}
