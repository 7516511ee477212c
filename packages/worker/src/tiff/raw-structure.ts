import { findBoxes } from '../structure/bmff-boxes.ts'
import { readTiffDirectories, type TiffDirectory } from './raw-directories.ts'

/** A JPEG within another file. `start` and `end` in bytes; width and height in pixels, as stored. */
export type RawPreview = { start: number; end: number; width: number; height: number }

/** What a camera's raw file says about itself. */
export type RawStructure = {
  /** Pixels of the raw data, as stored; undefined if the file does not say. */
  size: { width: number; height: number } | undefined
  /** EXIF's orientation, 1 to 8; undefined if the previews have their own. */
  orientation: number | undefined
  /** Largest first. */
  previews: RawPreview[]
}

/** A tag of a TIFF directory, in EXIF and in makers' notes. */
const tags = {
  jpgFromRaw: 0x2e,
  width: 256,
  height: 257,
  compression: 259,
  stripOffsets: 273,
  orientation: 274,
  stripByteCounts: 279,
  jpegOffset: 513,
  jpegLength: 514,
} as const
/** Tags 2 and 3 of Panasonic's first directory: width and height of the sensor. */
const panasonicSize = [2, 3] as const

const rafSignature = 'FUJIFILMCCD-RAW '
/** `Exif` and a TIFF with one entry: the orientation. */
const exifHead = Buffer.from('45786966000049492a00080000000100120103000100000000000000000000000000', 'hex')
const orientationAt = 24

/**
 * Finds the JPEG previews in a camera's raw file: in the directories of files based on TIFF (CR2, NEF, ARW, DNG, ORF, RW2,
 * PEF), at the offsets of Fujifilm's header, and in the boxes of CR3. It reads numbers at a bounded number of places.
 *
 * @returns undefined if the file is none of these
 */
export function readRawStructure(file: Buffer): RawStructure | undefined {
  try {
    if (file.toString('latin1', 0, 16) === rafSignature) return readRaf(file)
    if (file.toString('latin1', 4, 12) === 'ftypcrx ') return readCr3(file)
    return readTiffRaw(file)
  } catch (error) {
    // The file ends before the number.
    if (error instanceof RangeError) return undefined
    throw error
  }
}

/** Returns a preview as a JPEG of its own, with the orientation of its raw file instead of its own. */
export function extractPreview(
  file: Buffer,
  { start, end }: RawPreview,
  orientation: number | undefined,
): Buffer {
  const jpeg = file.subarray(start, end)
  if (orientation === undefined) return jpeg
  const segment = Buffer.concat([Buffer.from([0xff, 0xe1, 0, exifHead.length + 2]), exifHead])
  segment.writeUInt16LE(orientation, 4 + orientationAt)
  const parts = [jpeg.subarray(0, 2), segment]
  let at = 2
  // Segments before the frame, except EXIF's.
  while (jpeg[at] === 0xff && (jpeg[at + 1] ?? 0) >= 0xe0 && at + 4 <= jpeg.length) {
    const next = at + 2 + jpeg.readUInt16BE(at + 2)
    const isExif = jpeg[at + 1] === 0xe1 && jpeg.toString('latin1', at + 4, at + 8) === 'Exif'
    if (!isExif) parts.push(jpeg.subarray(at, next))
    at = next
  }
  parts.push(jpeg.subarray(at))
  return Buffer.concat(parts)
}

function readTiffRaw(file: Buffer): RawStructure | undefined {
  const directories = readTiffDirectories(file)
  const [first] = directories
  if (!first) return undefined
  const found: { start: number; length: number }[] = []
  for (const { base, numbers, places } of directories) {
    const jpegOffset = numbers.get(tags.jpegOffset)?.[0]
    const jpegLength = numbers.get(tags.jpegLength)?.[0]
    if (jpegOffset !== undefined) found.push({ start: base + jpegOffset, length: jpegLength ?? file.length })
    const [offsets = [], lengths = []] = [numbers.get(tags.stripOffsets), numbers.get(tags.stripByteCounts)]
    const compression = numbers.get(tags.compression)?.[0] ?? 0
    // 6 and 7 are JPEG. A picture in several strips is no JPEG by itself.
    if ((compression === 6 || compression === 7) && offsets.length === 1 && offsets[0] !== undefined) {
      found.push({ start: base + offsets[0], length: lengths[0] ?? file.length })
    }
    const whole = places.get(tags.jpgFromRaw)
    if (whole) found.push({ start: whole.at, length: whole.bytes })
  }
  const orientation = first.numbers.get(tags.orientation)?.[0] ?? 1
  return {
    size: largestSize(directories, first),
    orientation: orientation >= 1 && orientation <= 8 ? orientation : 1,
    previews: jpegsAt(file, found),
  }
}

function largestSize(directories: TiffDirectory[], first: TiffDirectory): RawStructure['size'] {
  const sizes = directories.map(({ numbers }) => ({
    width: numbers.get(tags.width)?.[0] ?? 0,
    height: numbers.get(tags.height)?.[0] ?? 0,
  }))
  const [width = 0, height = 0] = panasonicSize.map((tag) => first.numbers.get(tag)?.[0])
  sizes.push({ width, height })
  return sizes.filter((size) => size.width * size.height > 0).sort(byPixels)[0]
}

/** Fujifilm's header, as ExifTool and LibRaw describe it: at 84 offset and length of a JPEG, at 92 of a list of records. */
function readRaf(file: Buffer): RawStructure {
  const start = file.readUInt32BE(84)
  const length = file.readUInt32BE(88)
  let size: RawStructure['size']
  let at = file.readUInt32BE(92)
  const records = Math.min(file.readUInt32BE(at), maxRafRecords)
  at += 4
  for (let index = 0; index < records && at + 8 <= file.length; index++) {
    const tag = file.readUInt16BE(at)
    // The size without its margins, or else the whole one: height, then width.
    if (tag === 0x111 || (tag === 0x100 && !size)) {
      size = { width: file.readUInt16BE(at + 6), height: file.readUInt16BE(at + 4) }
    }
    at += 4 + file.readUInt16BE(at + 2)
  }
  return { size, orientation: undefined, previews: jpegsAt(file, [{ start, length }]) }
}

const maxRafRecords = 256

/**
 * CR3 (github.com/lclevy/canon_cr3 describes it): `CMT1` has a TIFF directory with size and orientation, `PRVW` a preview,
 * and the first track a JPEG in full size.
 */
function readCr3(file: Buffer): RawStructure {
  const found: { start: number; length: number }[] = []
  let first: TiffDirectory | undefined
  let sampleBytes = 0
  for (const { type, start, end } of findBoxes(file)) {
    if (type === 'CMT1') [first] = readTiffDirectories(file.subarray(start, end))
    // Unknown (6 bytes), width, height, unknown (2 bytes each), length.
    if (type === 'PRVW') found.push({ start: start + 16, length: file.readUInt32BE(start + 12) })
    // Version and flags, then the size of all samples, or 0 and their number and sizes.
    if (type === 'stsz') sampleBytes = file.readUInt32BE(start + 4) || file.readUInt32BE(start + 12)
    if (type === 'stco') found.push({ start: file.readUInt32BE(start + 8), length: sampleBytes })
    if (type === 'co64') found.push({ start: Number(file.readBigUInt64BE(start + 8)), length: sampleBytes })
  }
  const orientation = first?.numbers.get(tags.orientation)?.[0] ?? 1
  return {
    size: first && largestSize([first], first),
    orientation: orientation >= 1 && orientation <= 8 ? orientation : 1,
    previews: jpegsAt(file, found),
  }
}

/** Returns the places that have a JPEG which decoders know: not the lossless ones of raw data. */
function jpegsAt(file: Buffer, places: { start: number; length: number }[]): RawPreview[] {
  const previews: RawPreview[] = []
  for (const { start, length } of places) {
    const end = Math.min(file.length, start + length)
    const size = start > 0 && end - start > 4 ? jpegSize(file.subarray(start, end)) : undefined
    if (size) previews.push({ start, end, ...size })
  }
  return previews.sort(byPixels)
}

function byPixels(a: { width: number; height: number }, b: { width: number; height: number }): number {
  return b.width * b.height - a.width * a.height
}

/** A preview has some 20 segments. */
const maxSegments = 200

/** ITU-T T.81, B.2.2: SOF0 to SOF2 are frames of lossy JPEG; others, such as SOF3, are rare or lossless. */
function jpegSize(jpeg: Buffer): { width: number; height: number } | undefined {
  if (jpeg.readUInt16BE(0) !== 0xffd8) return undefined
  let at = 2
  for (let segment = 0; segment < maxSegments && at + 10 <= jpeg.length; segment++) {
    const marker = jpeg.readUInt16BE(at)
    if (marker >= 0xffc0 && marker <= 0xffc2 && jpeg[at + 4] === 8) {
      const [height, width] = [jpeg.readUInt16BE(at + 5), jpeg.readUInt16BE(at + 7)]
      return width > 0 && height > 0 ? { width, height } : undefined
    }
    if (marker < 0xffc0 || marker === 0xffda) return undefined
    at += 2 + jpeg.readUInt16BE(at + 2)
  }
  return undefined
}
