import { crc32 } from 'node:zlib'

/** Some formats, and libvips, put this before the TIFF header (EXIF 2.32, 4.7.2.1). */
const exifPrefix = 'Exif\0\0'
/** Of a number of entries and of an entry in a directory, in bytes (TIFF 6.0, section 2). */
const countBytes = 2
const entryBytes = 12

/** Whether EXIF data has a second directory, which describes a thumbnail (EXIF 2.32, 4.5.4). */
export function hasThumbnail(exif: Buffer | undefined): boolean {
  if (!exif) return false
  const tiff = withoutPrefix(exif)
  const at = secondDirectoryAt(tiff)
  return at !== undefined && tiff.readUInt32LE(at) !== 0
}

/**
 * Hides the thumbnail in a file's EXIF data, in place. Otherwise libvips writes it into each variant that keeps EXIF, also
 * when sharp replaces all tags: it shows what was cut off or covered in the picture.
 *
 * @param exif as libvips reads it from the file
 */
export function hideThumbnail(file: Buffer, exif: Buffer | undefined): void {
  if (!exif || !hasThumbnail(exif)) return
  const tiff = withoutPrefix(exif)
  const start = file.indexOf(tiff)
  const at = secondDirectoryAt(tiff)
  if (start === -1 || at === undefined) return
  file.writeUInt32LE(0, start + at)
  if (file.toString('latin1', start - 4, start) === 'eXIf') renewChecksum(file, start)
}

/** @returns where the place of the second directory is, in the TIFF; undefined if it ends before */
function secondDirectoryAt(tiff: Buffer): number | undefined {
  if (tiff.length < 8) return undefined
  const isLittle = tiff.toString('latin1', 0, 2) === 'II'
  const first = isLittle ? tiff.readUInt32LE(4) : tiff.readUInt32BE(4)
  if (first + countBytes > tiff.length) return undefined
  const entries = isLittle ? tiff.readUInt16LE(first) : tiff.readUInt16BE(first)
  const at = first + countBytes + entries * entryBytes
  return at + 4 <= tiff.length ? at : undefined
}

function withoutPrefix(exif: Buffer): Buffer {
  return exif.toString('latin1', 0, exifPrefix.length) === exifPrefix
    ? exif.subarray(exifPrefix.length)
    : exif
}

/** @param dataAt where the data of a PNG's chunk begins (PNG specification, 5.3) */
function renewChecksum(file: Buffer, dataAt: number): void {
  const end = dataAt + file.readUInt32BE(dataAt - 8)
  if (end + 4 <= file.length) file.writeUInt32BE(crc32(file.subarray(dataAt - 4, end)), end)
}
