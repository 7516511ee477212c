/** The texts of an original about its rights, by the names that sharp writes them with. */
export type Copyright = { Copyright?: string; Artist?: string }

/** TIFF 6.0, section 8. */
const tags: ReadonlyMap<number, keyof Copyright> = new Map([
  [0x8298, 'Copyright'],
  [0x013b, 'Artist'],
])
/** TIFF 6.0, section 2: the type of texts. */
const ascii = 2
/** Bytes of an entry of a directory. */
const entryBytes = 12
/** The first directory of a photo has some 20 entries. */
const maxEntries = 200
/** Longer texts are cut. In bytes. */
const maxTextBytes = 1000

/**
 * Reads copyright and artist from EXIF data. Nothing else of it is read, so nothing else, such as the place where a photo
 * was taken, can get into a variant.
 *
 * @param exif as a file has it: `Exif\0\0`, or directly the TIFF header
 * @returns undefined if there is neither, or if the data is damaged
 */
export function readCopyright(exif: Buffer | undefined): Copyright | undefined {
  if (!exif) return undefined
  const tiff = exif.toString('latin1', 0, 6) === 'Exif\0\0' ? exif.subarray(6) : exif
  try {
    return readFirstDirectory(tiff)
  } catch (error) {
    // An offset lies behind the end.
    if (error instanceof RangeError) return undefined
    throw error
  }
}

function readFirstDirectory(tiff: Buffer): Copyright | undefined {
  const isLittle = tiff.toString('latin1', 0, 2) === 'II'
  const uint16 = (at: number) => (isLittle ? tiff.readUInt16LE(at) : tiff.readUInt16BE(at))
  const uint32 = (at: number) => (isLittle ? tiff.readUInt32LE(at) : tiff.readUInt32BE(at))
  const directory = uint32(4)
  const entries = Math.min(uint16(directory), maxEntries)
  const found: Copyright = {}
  for (let index = 0; index < entries; index++) {
    const entry = directory + 2 + index * entryBytes
    const name = tags.get(uint16(entry))
    if (name === undefined || uint16(entry + 2) !== ascii) continue
    const length = uint32(entry + 4)
    const at = length <= 4 ? entry + 8 : uint32(entry + 8)
    const text = readText(tiff.subarray(at, at + Math.min(length, maxTextBytes)))
    if (text !== '') found[name] = text
  }
  return Object.keys(found).length > 0 ? found : undefined
}

/**
 * Returns a text up to its first zero byte; the copyright of an editor, which may follow (EXIF 2.32, 4.6.4), is joined.
 * EXIF says ASCII, and programs write UTF-8.
 */
function readText(bytes: Buffer): string {
  return bytes
    .toString('utf8')
    .split('\0')
    .map((part) => part.replaceAll(/\p{Cc}|�/gu, '').trim())
    .filter((part) => part !== '')
    .join(', ')
}
