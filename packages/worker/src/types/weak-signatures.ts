import type { BoundedFile } from './bounded-file.ts'
import { hasAacFrames, hasAc3Frames, hasMpegAudioFrames } from './mpeg-frames.ts'

type Check = (head: Buffer, file: BoundedFile) => boolean | Promise<boolean>

/**
 * Types that file-type recognizes by two or three bytes, or by bytes that are mostly zero, and what else such a file must
 * have. A random file has one given pair of bytes at its start once in 65,536.
 */
const checks: Record<string, Check> = {
  'image/bmp': isBmp,
  'image/gif': (head) => /^GIF8[79]a/.test(head.toString('latin1', 0, 6)),
  'image/jxl': isJpegXl,
  'image/vnd.ms-photo': (head) =>
    head.length >= 8 && head.readUInt8(3) <= 1 && head.readUInt32LE(4) >= 8 && head.readUInt32LE(4) % 2 === 0,
  'image/x-icon': isIcon,
  'audio/vnd.dolby.dd-raw': (_, file) => hasAc3Frames(file),
  'audio/mpeg': (head, file) => hasId3Tag(head) || hasMpegAudioFrames(file),
  'audio/aac': (_, file) => hasAacFrames(file),
  'audio/aiff': (head) => /^AIF[FC]$/.test(head.toString('latin1', 8, 12)),
  'audio/x-musepack': (head) => head.toString('latin1', 0, 4) === 'MPCK' || (head.readUInt8(3) & 15) === 7,
  'video/mp2t': isTransportStream,
  'font/ttf': isTrueType,
  'application/gzip': (head) => head.length >= 10 && (head.readUInt8(3) & 0xe0) === 0,
  'application/postscript': (head) => head.toString('latin1', 0, 4) === '%!PS',
  'application/x-apple-diskimage': isDiskImage,
  'application/x-arj': isArj,
  'application/x-bzip2': isBzip2,
  'application/x-compress': isCompress,
  'application/x-cpio': isCpio,
  'application/x-msdownload': isExecutable,
  'application/x-shockwave-flash': isFlash,
  'model/stl': (head) => /\bfacet\b|\bendsolid\b/.test(head.toString('latin1')),
}

/** Returns whether a type that file-type detected is supported by more than a weak signature. */
export async function isSupported(mediaType: string, head: Buffer, file: BoundedFile): Promise<boolean> {
  const check = checks[mediaType]
  return check === undefined || check(head, file)
}

/** ID3v2, 3.1: version, flags, and a size of four bytes below 128. */
export function hasId3Tag(head: Buffer): boolean {
  return (
    head.toString('latin1', 0, 3) === 'ID3' &&
    head.length >= 10 &&
    head.readUInt8(3) >= 2 &&
    head.readUInt8(3) <= 4 &&
    (head.readUInt8(5) & 0x0f) === 0 &&
    (head.readUInt32BE(6) & 0x80808080) === 0
  )
}

/**
 * BITMAPFILEHEADER, then a header of a known size that says one plane and a possible number of bits. In a file that is cut
 * before, four reserved bytes are zero.
 */
function isBmp(head: Buffer): boolean {
  if (head.length < 30) return head.length >= 10 && head.readUInt32LE(6) === 0
  const headerBytes = head.readUInt32LE(14)
  const isOs2 = headerBytes === 12
  if (!isOs2 && (headerBytes < 16 || headerBytes > 124 || headerBytes % 2 !== 0)) return false
  const planes = head.readUInt16LE(isOs2 ? 22 : 26)
  const bits = head.readUInt16LE(isOs2 ? 24 : 28)
  return planes === 1 && [0, 1, 2, 4, 8, 16, 24, 32, 64].includes(bits) && head.readUInt32LE(10) < 2 ** 24
}

/** ICONDIR and its first ICONDIRENTRY. TGA files also begin with 0, 0, 2, 0, and so do other binary files. */
function isIcon(head: Buffer, file: BoundedFile): boolean {
  if (head.length < 22) return false
  const count = head.readUInt16LE(4)
  const isCursor = head.readUInt16LE(2) === 2
  const bytes = head.readUInt32LE(14)
  const at = head.readUInt32LE(18)
  if (count === 0 || count > 1024 || head.readUInt8(9) !== 0) return false
  // For an icon: planes and bits per pixel. For a cursor: the hot spot, within 256 pixels.
  if (!isCursor && (head.readUInt16LE(10) > 1 || head.readUInt16LE(12) > 64)) return false
  if (isCursor && (head.readUInt16LE(10) > 255 || head.readUInt16LE(12) > 255)) return false
  return bytes >= 24 && at >= 6 + 16 * count && at < 2 ** 24 && at < file.size
}

/**
 * A JPEG XL container begins with 12 fixed bytes, a bare codestream with two. Its size (ISO/IEC 18181-1, 9.2) must be
 * within level 5, and the file not much larger than its pixels.
 */
function isJpegXl(head: Buffer, file: BoundedFile): boolean {
  if (head[0] === 0) return true
  const bits = Buffer.concat([head.subarray(2, 10), Buffer.alloc(8)]).readBigUInt64LE(0)
  let at = 0n
  const read = (count: number) => {
    const value = Number(BigInt.asUintN(count, bits >> at))
    at += BigInt(count)
    return value
  }
  const isSmall = read(1) === 1
  const readSide = () => (isSmall ? (read(5) + 1) * 8 : read([9, 13, 18, 30][read(2)] ?? 0) + 1)
  const height = readSide()
  // Ratios of width to height in steps of ISO/IEC 18181-1, table 3; 0: the width is given.
  const ratio = [0, 1, 12 / 10, 4 / 3, 3 / 2, 16 / 9, 5 / 4, 2][read(3)] ?? 0
  const width = ratio === 0 ? readSide() : Math.floor(height * ratio)
  const pixels = width * height
  return width <= 2 ** 18 && height <= 2 ** 18 && pixels <= 2 ** 28 && file.size <= pixels * 32 + 65_536
}

/** ISO/IEC 13818-1, 2.4.3: packets of 188 bytes that begin with 0x47; on Blu-ray four bytes more before each. */
function isTransportStream(head: Buffer): boolean {
  const [start, step] = head[0] === 0x47 && head[188] === 0x47 ? [0, 188] : [4, 192]
  let packets = 0
  for (let at = start; at < head.length; at += step) {
    if (head[at] !== 0x47) return false
    packets++
  }
  return packets >= 4
}

/** OpenType, "Table Directory": the number of tables, three numbers derived from it, then tags of printable characters. */
function isTrueType(head: Buffer): boolean {
  if (head.length < 16) return false
  const tables = head.readUInt16BE(4)
  const power = 31 - Math.clz32(tables)
  return (
    tables > 0 &&
    (head.readUInt16BE(8) === power || head.readUInt16BE(6) === 16 * 2 ** power) &&
    /^[\x20-\x7e]{4}$/.test(head.toString('latin1', 12, 16))
  )
}

/** file-type takes the start of a zlib stream for a disk image. Its mark is "koly", 512 bytes before the end. */
async function isDiskImage(_: Buffer, file: BoundedFile): Promise<boolean> {
  return (await file.read(file.size - 512, 4)).toString('latin1') === 'koly'
}

/** The main header of an ARJ archive: its size, the size of its first part, and file type 2. */
function isArj(head: Buffer): boolean {
  if (head.length < 11) return false
  const bytes = head.readUInt16LE(2)
  return (
    bytes >= 30 && bytes <= 2600 && head.readUInt8(4) >= 30 && head.readUInt8(4) <= bytes && head[10] === 2
  )
}

/** The level, 1 to 9, then the mark of a block: the digits of pi, or of its square root in an empty file. */
function isBzip2(head: Buffer): boolean {
  const level = head[3] ?? 0
  return level >= 0x31 && level <= 0x39 && /^(314159265359|177245385090)$/.test(head.toString('hex', 4, 10))
}

/** Of the two signatures only 1F 9D is in use: then the number of bits, 9 to 16, and no reserved flag. */
function isCompress(head: Buffer): boolean {
  if (head.length < 5 || head[1] !== 0x9d) return false
  const flags = head.readUInt8(2)
  return (flags & 0x60) === 0 && (flags & 31) >= 9 && (flags & 31) <= 16
}

/** Old binary cpio: the length of the first name is possible, and NUL ends the name. The ASCII form has six digits. */
function isCpio(head: Buffer): boolean {
  if (head.toString('latin1', 0, 6) === '070707') return /^[0-7]{76}/.test(head.toString('latin1', 0, 76))
  if (head.length < 28) return false
  const nameBytes = head.readUInt16LE(20)
  return nameBytes >= 2 && nameBytes <= 1024 && head[26] !== 0 && head[25 + nameBytes] === 0
}

/** A DOS header: possible numbers of pages and paragraphs, or an offset to a header of a later kind. */
function isExecutable(head: Buffer, file: BoundedFile): boolean {
  if (head.length < 64) return false
  const newHeader = head.readUInt32LE(60)
  if (/^(PE\0\0|NE|LE|LX)/.test(head.toString('latin1', newHeader, newHeader + 4))) return true
  const bytesInLastPage = head.readUInt16LE(2)
  const pages = head.readUInt16LE(4)
  const headerBytes = head.readUInt16LE(8) * 16
  return (
    bytesInLastPage < 512 &&
    pages > 0 &&
    headerBytes >= 32 &&
    headerBytes <= pages * 512 &&
    (pages - 1) * 512 < file.size &&
    head.readUInt16LE(24) >= 28 &&
    head.readUInt16LE(24) <= headerBytes
  )
}

/** Version up to 50, then the length of the file when unpacked. A compressed one goes on with a zlib header. */
function isFlash(head: Buffer, file: BoundedFile): boolean {
  if (head.length < 12) return false
  const version = head.readUInt8(3)
  const bytes = head.readUInt32LE(4)
  if (version === 0 || version > 50 || bytes < 16) return false
  return head[0] === 0x46 ? Math.abs(bytes - file.size) <= 1024 : head[8] === 0x78
}
