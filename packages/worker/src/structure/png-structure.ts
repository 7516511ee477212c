import { crc32 } from 'node:zlib'
import { partLimits, type Structure, truncated, whole } from './structure.ts'

const signatureBytes = 8
/** A chunk's length, type and CRC, in bytes (PNG specification, 5.3). */
const chunkFrameBytes = 12
const end = Buffer.from([0, 0, 0, 0, 0x49, 0x45, 0x4e, 0x44, 0xae, 0x42, 0x60, 0x82])

type Chunk = { type: string; start: number; end: number }

/**
 * Checks the chunks of a PNG. A missing IEND is no fault if all image data is there; decoders compute the CRCs.
 */
export function checkPng(file: Buffer): Structure {
  const { chunks, cutIn } = walk(file)
  const parts = { name: 'chunks', count: chunks.length } as const
  if (cutIn === 'IDAT') return truncated('It ends within its image data.', parts)
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
 * Writes a PNG anew without what changes no pixel of a still image: ancillary chunks whose CRC is wrong, whatever
 * follows the image data incompletely, and a missing IEND.
 */
export function repairPng(file: Buffer): Buffer {
  const { chunks } = walk(file)
  const kept = chunks.filter(
    (chunk) => chunk.type !== 'IEND' && (isCritical(chunk) || hasValidCrc(file, chunk)),
  )
  return Buffer.concat([
    file.subarray(0, signatureBytes),
    ...kept.map((chunk) => file.subarray(chunk.start, chunk.end)),
    end,
  ])
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
