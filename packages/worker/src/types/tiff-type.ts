import type { BoundedFile } from './bounded-file.ts'

const tags = {
  compression: 259,
  photometric: 262,
  make: 271,
  subDirectories: 330,
  dngVersion: 50706,
} as const
/** TIFF/EP: colour filter array. */
const photometricOfRaw = 32803
/** Compressions of raw data: of Sony, Samsung, Nikon, Pentax. */
const compressionsOfRaw = new Set([32767, 32770, 32772, 34713, 65535])

/** Camera makers whose raw files are TIFF files, by the start of the tag Make, in upper case. */
const rawTypes: [string, string][] = [
  ['NIKON', 'image/x-nikon-nef'],
  ['SONY', 'image/x-sony-arw'],
  ['PENTAX', 'image/x-pentax-pef'],
  ['RICOH', 'image/x-pentax-pef'],
  ['SAMSUNG', 'image/x-samsung-srw'],
  ['HASSELBLAD', 'image/x-hasselblad-3fr'],
  ['KODAK', 'image/x-kodak-dcr'],
  ['EASTMAN KODAK', 'image/x-kodak-dcr'],
  ['SEIKO EPSON', 'image/x-epson-erf'],
  ['MAMIYA', 'image/x-mamiya-mef'],
  ['PHASE ONE', 'image/x-phaseone-iiq'],
]

const maxEntries = 512
const maxSubDirectories = 8

type Directory = { numbers: Map<number, number[]>; make: string }

/**
 * Returns whether the bytes begin with the signature of TIFF or BigTIFF (TIFF 6.0, section 2): byte order, then 42 or 43.
 */
export function hasTiffSignature(head: Buffer): boolean {
  return ['II*\0', 'MM\0*', 'II+\0', 'MM\0+'].includes(head.toString('latin1', 0, 4))
}

/**
 * Distinguishes ordinary TIFF files from camera raws based on TIFF. A raw has Canon's mark, or DNG's version, or raw data
 * of a known maker. A maker's private tag alone proves nothing: scanners and editors write them too.
 *
 * @param head the first bytes, with the signature of TIFF
 */
export async function tiffType(head: Buffer, file: BoundedFile): Promise<string> {
  const littleEndian = head[0] === 0x49
  if (head.length < 16 || head[littleEndian ? 2 : 3] !== 42) return 'image/tiff'
  // Canon: "CR", then the version 2.0.
  if (head.toString('latin1', 8, 12) === 'CR\x02\0') return 'image/x-canon-cr2'
  const first = await readDirectory(file, readUInt32(head, 4, littleEndian), littleEndian)
  if (!first) return 'image/tiff'
  if (first.numbers.has(tags.dngVersion)) return 'image/x-adobe-dng'
  const make = first.make.toUpperCase()
  const rawType = rawTypes.find(([start]) => make.startsWith(start))?.[1]
  if (!rawType) return 'image/tiff'
  if (hasRawData(first)) return rawType
  for (const at of first.numbers.get(tags.subDirectories)?.slice(0, maxSubDirectories) ?? []) {
    const directory = await readDirectory(file, at, littleEndian)
    if (directory && hasRawData(directory)) return rawType
  }
  return 'image/tiff'
}

function hasRawData({ numbers }: Directory): boolean {
  return (
    numbers.get(tags.photometric)?.[0] === photometricOfRaw ||
    compressionsOfRaw.has(numbers.get(tags.compression)?.[0] ?? 1)
  )
}

/** TIFF 6.0, section 2: the number of entries, then 12 bytes each: tag, type, count, value or its offset. */
async function readDirectory(
  file: BoundedFile,
  at: number,
  littleEndian: boolean,
): Promise<Directory | undefined> {
  const count = readUInt16(await file.read(at, 2), 0, littleEndian)
  if (count === 0 || count > maxEntries) return undefined
  const entries = await file.read(at + 2, count * 12)
  const numbers = new Map<number, number[]>()
  let make = ''
  for (let entry = 0; entry + 12 <= entries.length; entry += 12) {
    const tag = readUInt16(entries, entry, littleEndian)
    const isShort = readUInt16(entries, entry + 2, littleEndian) === 3
    const valueCount = readUInt32(entries, entry + 4, littleEndian)
    const value = readUInt32(entries, entry + 8, littleEndian)
    switch (tag) {
      case tags.make:
        make = await readAscii(file, value, Math.min(valueCount, 64))
        break
      case tags.subDirectories:
        numbers.set(
          tag,
          valueCount === 1 ? [value] : await readOffsets(file, value, valueCount, littleEndian),
        )
        break
      case tags.photometric:
      case tags.compression:
      case tags.dngVersion:
        numbers.set(tag, [isShort ? readUInt16(entries, entry + 8, littleEndian) : value])
        break
    }
  }
  return { numbers, make }
}

async function readAscii(file: BoundedFile, at: number, length: number): Promise<string> {
  return (await file.read(at, length)).toString('latin1').replace(/\0.*$/s, '').trim()
}

async function readOffsets(
  file: BoundedFile,
  at: number,
  count: number,
  littleEndian: boolean,
): Promise<number[]> {
  const bytes = await file.read(at, Math.min(count, maxSubDirectories) * 4)
  return Array.from({ length: Math.floor(bytes.length / 4) }, (_, i) =>
    readUInt32(bytes, i * 4, littleEndian),
  )
}

function readUInt16(bytes: Buffer, at: number, littleEndian: boolean): number {
  if (at + 2 > bytes.length) return 0
  return littleEndian ? bytes.readUInt16LE(at) : bytes.readUInt16BE(at)
}

function readUInt32(bytes: Buffer, at: number, littleEndian: boolean): number {
  return littleEndian ? bytes.readUInt32LE(at) : bytes.readUInt32BE(at)
}
