/** A directory of a file based on TIFF. */
export type TiffDirectory = {
  /** What its offsets are counted from, in bytes. */
  base: number
  /** Integers by tag, the first ones. */
  numbers: Map<number, number[]>
  /** Where the bytes of longer values are, by tag, in bytes from the file's start. */
  places: Map<number, { at: number; bytes: number }>
}

/** Bytes of one value by type (TIFF 6.0, section 2). 13 is IFD. */
const typeBytes = [0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4]
const subDirectories = 330
const exifDirectory = 34665
const makerNote = 37500
/** Tags of Olympus' note: its camera settings, and in these the preview. */
const olympusSettings = 0x2020
const olympusPreview = { offset: 0x101, length: 0x102 } as const
const jpegTags = { offset: 513, length: 514 } as const

const maxDirectories = 64
const maxEntries = 1_000
const maxNumbers = 16

/**
 * Reads the directories of a raw file based on TIFF: the chain, the sub-directories, EXIF's, and Olympus' preview. Makers
 * have their own second number in the header: 42 is TIFF, others are Olympus' and Panasonic's.
 *
 * @returns the first directory first; none if the file has no byte order
 * @throws RangeError if a number lies after the end
 */
export function readTiffDirectories(file: Buffer): TiffDirectory[] {
  const order = file.toString('latin1', 0, 2)
  if (order !== 'II' && order !== 'MM') return []
  const directories: TiffDirectory[] = []
  const met = new Set<number>()
  const waiting = [readAt(4, 4)]
  while (waiting.length > 0 && directories.length < maxDirectories) {
    const start = waiting.shift() ?? 0
    if (start < 8 || start + 2 > file.length || met.has(start)) continue
    met.add(start)
    const { directory, next } = readDirectory(start, 0)
    directories.push(directory)
    waiting.push(...(directory.numbers.get(subDirectories) ?? []))
    waiting.push(...(directory.numbers.get(exifDirectory) ?? []))
    if (next !== undefined) waiting.push(next)
    const note = directory.places.get(makerNote)
    const preview = note && readOlympus(note.at)
    if (preview) directories.push(preview)
  }
  return directories

  function readAt(at: number, bytes: number): number {
    if (bytes === 1) return file.readUInt8(at)
    return order === 'II' ? file.readUIntLE(at, bytes) : file.readUIntBE(at, bytes)
  }

  function readDirectory(
    start: number,
    base: number,
  ): { directory: TiffDirectory; next: number | undefined } {
    const directory: TiffDirectory = { base, numbers: new Map(), places: new Map() }
    const count = Math.min(readAt(start, 2), maxEntries)
    for (let index = 0; index < count; index++) {
      const at = start + 2 + 12 * index
      if (at + 12 > file.length) return { directory, next: undefined }
      const [tag, type, values] = [readAt(at, 2), readAt(at + 2, 2), readAt(at + 4, 4)]
      const size = typeBytes[type] ?? 0
      const valuesAt = values * size <= 4 ? at + 8 : base + readAt(at + 8, 4)
      if (valuesAt + values * size > file.length) continue
      directory.places.set(tag, { at: valuesAt, bytes: values * size })
      if (size === 1 || size === 2 || size === 4) {
        const numbers = Array.from({ length: Math.min(values, maxNumbers) }, (_, i) =>
          readAt(valuesAt + i * size, size),
        )
        directory.numbers.set(tag, numbers)
      }
    }
    const nextAt = start + 2 + 12 * count
    return { directory, next: nextAt + 4 <= file.length ? readAt(nextAt, 4) : undefined }
  }

  /** ExifTool describes Olympus' notes: `OLYMPUS` and a byte order, or `OM SYSTEM`; offsets count from the note. */
  function readOlympus(note: number): TiffDirectory | undefined {
    const head = file.toString('latin1', note, note + 9)
    if (!head.startsWith('OLYMPUS\0') && head !== 'OM SYSTEM') return undefined
    const entries = readDirectory(note + (head === 'OM SYSTEM' ? 16 : 12), note).directory
    const settings = entries.numbers.get(olympusSettings)?.[0]
    if (settings === undefined) return undefined
    const { numbers } = readDirectory(note + settings, note).directory
    const offset = numbers.get(olympusPreview.offset)
    const length = numbers.get(olympusPreview.length)
    if (!offset || !length) return undefined
    return {
      base: note,
      numbers: new Map([
        [jpegTags.offset, offset],
        [jpegTags.length, length],
      ]),
      places: new Map(),
    }
  }
}
