import { damaged, type Structure, truncated, whole } from '../structure/structure.ts'
import {
  blocksOf,
  countPages,
  type Entry,
  type Layout,
  layoutOf,
  numbersOf,
  openDirectory,
  readDirectory,
  tags,
  typeBytes,
  type WrittenValue,
} from './tiff-directory.ts'
import { compressions, needsOwnSamples, photometrics, readTiffEncoding } from './tiff-encoding.ts'

/**
 * The tags that a decoder needs for the pixels: TIFF 6.0, its supplements, and the colour profile (34675). Remarks of
 * decoders on any other tag, such as a text without its last zero byte, are about no pixel.
 */
const neededTags: ReadonlySet<number> = new Set([
  254, 256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 282, 283, 284, 292, 293, 296, 317, 320, 322,
  323, 324, 325, 332, 334, 338, 339, 347, 529, 530, 531, 532, 34675,
])
/** Tags with one value for each sample. */
const perSampleTags: ReadonlySet<number> = new Set([tags.bitsPerSample, tags.sampleFormat])

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
  const encoding = readTiffEncoding(file)
  if (!encoding) return undefined
  const { width, height, bits } = encoding
  return {
    width,
    height,
    frames: 1,
    pixelBytes: bits.length * Math.max(1, (bits[0] ?? 8) / 8),
    // Samples that libvips does not read are unpacked as a whole.
    isInterlaced: needsOwnSamples(encoding),
  }
}

/**
 * Appends a new directory to a TIFF that has the needed tags only, sorted, each once, with as many values as there are
 * samples; byte counts and a photometric interpretation are added if they are missing. The pixels stay where they are.
 *
 * @returns undefined if the file has no readable directory
 */
export function repairTiff(file: Buffer): Buffer | undefined {
  const directory = openDirectory(file)
  if (!directory) return undefined
  const { layout, entries } = directory
  const kept = new Map<number, WrittenValue>()
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
  if (!kept.has(tags.photometric)) {
    const value = readTiffEncoding(file)?.photometric ?? photometrics.black
    kept.set(tags.photometric, { type: 3, count: 1, value: layout.uint16s([value]) })
  }
  return layout.withDirectory([...kept].sort(([a], [b]) => a - b))
}

/** Strips without compression have a known size. Others end where the next one begins, or with the file. */
function stripSizes(file: Buffer, layout: Layout, entries: Entry[], offsets: number[]): number[] {
  const one = (tag: number) => numbersOf(file, layout, entries, tag, 1)[0]
  const height = one(tags.imageLength) ?? 0
  const rows = Math.min(one(tags.rowsPerStrip) ?? height, height)
  const bits = (one(tags.bitsPerSample) ?? 1) * (one(tags.samplesPerPixel) ?? 1)
  const compression = one(tags.compression) ?? compressions.none
  const rowBytes = Math.ceil(((one(tags.imageWidth) ?? 0) * bits) / 8)
  const ends = [...offsets, file.length].sort((a, b) => a - b)
  const endOf = new Map(ends.map((end, index) => [end, ends[index + 1] ?? file.length]))
  return offsets.map((start, index) => {
    if (compression !== compressions.none) return Math.max(0, (endOf.get(start) ?? start) - start)
    return Math.max(0, Math.min(rows, height - index * rows)) * rowBytes
  })
}

/** Counts a TIFF's pages, a few more than the limit at most. */
export function countTiffPages(file: Buffer): number {
  const layout = layoutOf(file)
  return layout ? countPages(file, layout) : 0
}
