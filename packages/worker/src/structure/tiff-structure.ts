import { damaged, partLimits, type Structure, truncated, whole } from './structure.ts'

/** Tags of TIFF 6.0 that checks and repairs use. */
const tags = {
  imageWidth: 256,
  bitsPerSample: 258,
  compression: 259,
  stripOffsets: 273,
  samplesPerPixel: 277,
  rowsPerStrip: 278,
  stripByteCounts: 279,
  tileOffsets: 324,
  tileByteCounts: 325,
  imageLength: 257,
} as const

/**
 * The tags that a decoder needs for the pixels: TIFF 6.0, its supplements, and the colour profile (34675). Remarks of
 * decoders on any other tag, such as a text without its last zero byte, are about no pixel.
 */
const neededTags: ReadonlySet<number> = new Set([
  254, 256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 282, 283, 284, 292, 293, 296, 317, 320, 322,
  323, 324, 325, 332, 334, 338, 339, 347, 529, 530, 531, 532, 34675,
])
/** Tags with one value for each sample. */
const perSampleTags: ReadonlySet<number> = new Set([tags.bitsPerSample, 339])

/** Bytes of one value by type: TIFF 6.0, section 2; 13 is IFD, 16 to 18 are BigTIFF's. */
const typeBytes = [0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8, 8, 8]
const uncompressed = 1
/** TIFF 6.0: the number of a directory's entries has 16 bits. BigTIFF's has 64, which no file needs. */
const maxEntries = 65_535
/** Strips or tiles of the first page. An image of 268 megapixels in tiles of 16 × 16 has a million. */
const maxBlocks = 1_100_000

type Entry = { tag: number; type: number; count: number; at: number }

/** The differences between TIFF and BigTIFF, and between byte orders. */
type Layout = ReturnType<typeof layoutOf>

/** Checks that the first page's strips or tiles lie within the file, and counts the pages. */
export function checkTiff(file: Buffer): Structure {
  const layout = layoutOf(file)
  if (!layout) return truncated('It ends in its header.')
  const first = layout.offset(layout.firstAt)
  const entries = readDirectory(file, layout, first)
  if (!entries) return truncated('It ends before its directory.')
  const parts = { name: 'pages', count: countPages(file, layout) } as const
  const [offsets, byteCounts] = blocksOf(file, layout, entries)
  if (offsets.length === 0) return damaged('It has no image data.')
  for (const [index, start] of offsets.entries()) {
    const count = byteCounts[index] ?? 0
    if (start + count > file.length || start >= file.length) {
      return truncated(`Strip or tile ${index + 1} of ${offsets.length} ends after the file.`, parts)
    }
  }
  return whole(parts)
}

/** Returns size and cost of a TIFF's first page, or undefined if it has none. */
export function readTiffFrame(file: Buffer) {
  const layout = layoutOf(file)
  const entries = layout && readDirectory(file, layout, layout.offset(layout.firstAt))
  if (!layout || !entries) return undefined
  const one = (tag: number, missing: number) => numbersOf(file, layout, entries, tag, 1)[0] ?? missing
  return {
    width: one(tags.imageWidth, 0),
    height: one(tags.imageLength, 0),
    frames: 1,
    pixelBytes: one(tags.samplesPerPixel, 1) * Math.max(1, one(tags.bitsPerSample, 8) / 8),
    isInterlaced: false,
  }
}

/**
 * Appends a new directory to a TIFF that has the needed tags only, sorted, each once, with as many values as there are
 * samples, and computed byte counts if they are missing. The pixels stay where they are.
 *
 * @returns undefined if the file has no readable directory
 */
export function repairTiff(file: Buffer): Buffer | undefined {
  const layout = layoutOf(file)
  const entries = layout && readDirectory(file, layout, layout.offset(layout.firstAt))
  if (!layout || !entries) return undefined
  const kept = new Map<number, { type: number; count: number; value: Buffer }>()
  const samples = numbersOf(file, layout, entries, tags.samplesPerPixel, 1)[0] ?? 1
  for (const { tag, type, count, at } of entries) {
    if (!neededTags.has(tag) || kept.has(tag)) continue
    const values = perSampleTags.has(tag) ? Math.min(count, samples) : count
    const bytes = values * (typeBytes[type] ?? 0)
    if (at + bytes > file.length) continue
    kept.set(tag, { type, count: values, value: file.subarray(at, at + bytes) })
  }
  const offsets = numbersOf(file, layout, entries, tags.stripOffsets)
  if (offsets.length > 0 && !kept.has(tags.stripByteCounts)) {
    const counts = stripSizes(file, layout, entries, offsets)
    kept.set(tags.stripByteCounts, { type: 4, count: counts.length, value: layout.uint32s(counts) })
  }
  return layout.withDirectory([...kept].sort(([a], [b]) => a - b))
}

function layoutOf(file: Buffer) {
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
    uint32s(values: number[]): Buffer {
      const bytes = Buffer.alloc(4 * values.length)
      for (const [index, value] of values.entries()) write(bytes, value, 4 * index, 4)
      return bytes
    },
    /** Returns the file with another first directory, appended. */
    withDirectory(entries: [number, { type: number; count: number; value: Buffer }][]): Buffer {
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
function readDirectory(file: Buffer, layout: NonNullable<Layout>, start: number): Entry[] | undefined {
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

/** Follows the chain of directories, up to one that was already met, the file's end, or the limit. */
function countPages(file: Buffer, layout: NonNullable<Layout>): number {
  const met = new Set<number>()
  let at = layout.offset(layout.firstAt)
  while (at !== 0 && !met.has(at) && met.size <= partLimits.pages) {
    if (at + layout.countBytes > file.length) break
    met.add(at)
    const nextAt = at + layout.countBytes + layout.entryCount(at) * layout.entryBytes
    if (nextAt + layout.wordBytes > file.length) break
    at = layout.offset(nextAt)
  }
  return met.size
}

/** Returns the values of a tag of integers, as far as they lie in the file. */
function numbersOf(
  file: Buffer,
  layout: NonNullable<Layout>,
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

function blocksOf(file: Buffer, layout: NonNullable<Layout>, entries: Entry[]): [number[], number[]] {
  const tiles = numbersOf(file, layout, entries, tags.tileOffsets)
  return tiles.length > 0
    ? [tiles, numbersOf(file, layout, entries, tags.tileByteCounts)]
    : [
        numbersOf(file, layout, entries, tags.stripOffsets),
        numbersOf(file, layout, entries, tags.stripByteCounts),
      ]
}

/** Strips without compression have a known size. Others end where the next one begins, or with the file. */
function stripSizes(
  file: Buffer,
  layout: NonNullable<Layout>,
  entries: Entry[],
  offsets: number[],
): number[] {
  const one = (tag: number) => numbersOf(file, layout, entries, tag, 1)[0]
  const height = one(tags.imageLength) ?? 0
  const rows = Math.min(one(tags.rowsPerStrip) ?? height, height)
  const bits = (one(tags.bitsPerSample) ?? 1) * (one(tags.samplesPerPixel) ?? 1)
  const compression = one(tags.compression) ?? uncompressed
  const rowBytes = Math.ceil(((one(tags.imageWidth) ?? 0) * bits) / 8)
  const ends = [...offsets, file.length].sort((a, b) => a - b)
  const endOf = new Map(ends.map((end, index) => [end, ends[index + 1] ?? file.length]))
  return offsets.map((start, index) => {
    if (compression !== uncompressed) return Math.max(0, (endOf.get(start) ?? start) - start)
    return Math.max(0, Math.min(rows, height - index * rows)) * rowBytes
  })
}
