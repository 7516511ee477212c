import { constants, crc32, deflateSync, inflateRawSync, inflateSync } from 'node:zlib'
import { damaged, partLimits, type Structure, truncated, whole } from './structure.ts'

const signatureBytes = 8
export const pngSignature = Buffer.from('\x89PNG\r\n\x1a\n', 'latin1')
/** A chunk's length, type and CRC, in bytes (PNG specification, 5.3). */
const chunkFrameBytes = 12
/** The chunk IEND. */
export const pngEnd = Buffer.from([0, 0, 0, 0, 0x49, 0x45, 0x4e, 0x44, 0xae, 0x42, 0x60, 0x82])

export type Chunk = { type: string; start: number; end: number }

/**
 * Checks the chunks of a PNG. A missing IEND is no fault if all image data is there; decoders compute the CRCs.
 */
export function checkPng(file: Buffer): Structure {
  const { chunks, cutIn } = walk(file)
  const parts = { name: 'chunks', count: chunks.length } as const
  const [header] = chunks
  // A wrong size may take all memory before a decoder compares the checksum.
  if (header?.type === 'IHDR' && !hasValidCrc(file, header))
    return damaged('The checksum of its header is wrong.')
  if (cutIn === 'IDAT' || cutIn === 'fdAT') return truncated('It ends within its image data.', parts)
  if (!chunks.some(({ type }) => type === 'IDAT')) return truncated('It ends before its image data.', parts)
  return whole(parts)
}

/** Names what makes a PNG one that is not decoded. @returns a sentence, or undefined */
export function unsupportedPng(file: Buffer): string | undefined {
  // Xcode writes it: Deflate without its head, colours in another order.
  return file.toString('latin1', signatureBytes + 4, signatureBytes + 8) === 'CgBI'
    ? 'The PNG is in the form of iOS applications (CgBI), which is not supported.'
    : undefined
}

/**
 * Writes a PNG anew without what changes no pixel of a still image: ancillary chunks whose CRC is wrong, chunks between
 * those of the image data, whatever follows the image data incompletely, and a missing IEND. A wrong checksum of the image
 * data is corrected if the other one is right: the CRCs of all chunks, or the checksum of the compressed data.
 */
export function repairPng(file: Buffer): Buffer {
  const { chunks } = walk(file)
  const isData = ({ type }: Chunk) => type === 'IDAT'
  const data = chunks.filter(isData)
  const kept = chunks.filter(
    (chunk) => !isData(chunk) && chunk.type !== 'IEND' && (isCritical(chunk) || hasValidCrc(file, chunk)),
  )
  const first = chunks.findIndex(isData)
  const before = kept.filter((chunk) => chunks.indexOf(chunk) < first)
  const bytes = (chunk: Chunk) => file.subarray(chunk.start, chunk.end)
  return Buffer.concat([
    file.subarray(0, signatureBytes),
    ...before.map(bytes),
    ...(repairData(file, data) ?? data.map(bytes)),
    pngEnd,
  ])
}

/** The largest compressed image data that is checked here: it is unpacked in one piece. */
const maxCheckedBytes = 64 * 1024 ** 2

/** @returns the image data with right checksums, or undefined if there is nothing to correct or none of them is right */
function repairData(file: Buffer, data: Chunk[]): Buffer[] | undefined {
  const packed = Buffer.concat(data.map((chunk) => file.subarray(chunk.start + 8, chunk.end - 4)))
  if (packed.length < 6 || packed.length > maxCheckedBytes) return undefined
  const size = rawBytes(file)
  if (size === undefined || size > maxRawBytes) return undefined
  const hasCrcs = data.every((chunk) => hasValidCrc(file, chunk))
  try {
    if (hasCrcs) {
      // RFC 1950: two bytes, compressed data, its checksum, which may be missing or wrong.
      const unpacked = inflateRawSync(packed.subarray(2), {
        finishFlush: constants.Z_SYNC_FLUSH,
        maxOutputLength: size + 1024,
      })
      if (unpacked.length < size) return undefined
      return [imageData(deflateSync(unpacked.subarray(0, size), { level: 1 }))]
    }
    // Throws if the checksum is wrong.
    inflateSync(packed, { maxOutputLength: size + 1024 })
    return [imageData(packed)]
  } catch {
    return undefined
  }
}

/** Unpacked image data that is checked here at most, in bytes: 100 megapixels of three bytes. */
const maxRawBytes = 300_000_000

/** Returns the size of a file's unpacked image data, by its header (PNG specification, 7.2 and 8). */
function rawBytes(file: Buffer): number | undefined {
  if (file.length < signatureBytes + 25) return undefined
  const [width, height] = [file.readUInt32BE(16), file.readUInt32BE(20)]
  const samples = [1, 0, 3, 1, 2, 0, 4][file.readUInt8(25)] ?? 0
  const bits = samples * file.readUInt8(24)
  const size = (columns: number, rows: number) =>
    columns === 0 || rows === 0 ? 0 : rows * (1 + Math.ceil((columns * bits) / 8))
  if (file.readUInt8(28) === 0) return size(width, height)
  return passes.reduce(
    (sum, [x, y, stepX, stepY]) =>
      sum + size(Math.max(0, Math.ceil((width - x) / stepX)), Math.max(0, Math.ceil((height - y) / stepY))),
    0,
  )
}

/** The passes of an interlaced image: first column and row, and their steps (PNG specification, 8.2). */
const passes = [
  [0, 0, 8, 8],
  [4, 0, 8, 8],
  [0, 4, 4, 8],
  [2, 0, 4, 4],
  [0, 2, 2, 4],
  [1, 0, 2, 2],
  [0, 1, 1, 2],
] as const

function imageData(packed: Buffer): Buffer {
  return writeChunk('IDAT', packed)
}

/** Returns a chunk: length, type, data, CRC (PNG specification, 5.3). */
export function writeChunk(type: string, data: Buffer): Buffer {
  const chunk = Buffer.alloc(data.length + chunkFrameBytes)
  chunk.writeUInt32BE(data.length, 0)
  chunk.write(type, 4, 'latin1')
  data.copy(chunk, 8)
  chunk.writeUInt32BE(crc32(chunk.subarray(4, -4)), data.length + 8)
  return chunk
}

/** Returns the complete chunks up to IEND, a few more than the limit at most. */
export function pngChunks(file: Buffer): Chunk[] {
  return walk(file).chunks
}

/** @returns the complete chunks up to IEND, and the type of the one that the file's end cuts */
function walk(file: Buffer): { chunks: Chunk[]; cutIn?: string } {
  const chunks: Chunk[] = []
  for (let at = signatureBytes; at + 8 <= file.length; ) {
    const type = file.toString('latin1', at + 4, at + 8)
    const next = at + chunkFrameBytes + file.readUInt32BE(at)
    if (next > file.length) return { chunks, cutIn: type }
    chunks.push({ type, start: at, end: next })
    // Counting on would take as long as the file wants.
    if (type === 'IEND' || chunks.length > partLimits.chunks) break
    at = next
  }
  return { chunks }
}

/** PNG specification, 5.4: a chunk is critical if bit 5 of its first letter is 0, so if the letter is a capital. */
function isCritical({ type }: Chunk): boolean {
  return /^[A-Z]/.test(type)
}

function hasValidCrc(file: Buffer, chunk: Chunk): boolean {
  return crc32(file.subarray(chunk.start + 4, chunk.end - 4)) === file.readUInt32BE(chunk.end - 4)
}
