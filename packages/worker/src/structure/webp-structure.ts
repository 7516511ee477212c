import { damaged, partLimits, type Structure, truncated, whole } from './structure.ts'

/** Chunks without which the picture is whole: metadata (RFC 9649, 2.7.1.5), and any that are unknown. */
const neededChunks: ReadonlySet<string> = new Set(['VP8 ', 'VP8L', 'VP8X', 'ANIM', 'ANMF', 'ALPH', 'ICCP'])

/**
 * Checks the RIFF chunks of a WebP (RFC 9649, 2.3). A missing last padding byte is no fault, nor is a size of the whole
 * file that is wrong, if the image's chunks are there.
 */
export function checkWebp(file: Buffer): Structure {
  const { chunks, cutIn, frames, hasImage, declaredEnd } = walk(file)
  if (chunks > partLimits.chunks) return whole({ name: 'chunks', count: chunks })
  if (cutIn !== undefined && neededChunks.has(cutIn)) {
    return truncated(`It ends in its chunk ${JSON.stringify(cutIn)}.`)
  }
  // An even file whose chunk is odd is one byte shorter than declared without its padding. Encoders that write to a pipe
  // leave the size zero or at its maximum.
  const isDeclared = declaredEnd > headBytes && declaredEnd < maxEnd
  if (isDeclared && declaredEnd > file.length + 1 && (frames > 0 || !hasImage)) {
    return truncated(`It has ${file.length} of ${declaredEnd} bytes.`)
  }
  if (!hasImage) return file.length < 20 ? truncated('It ends in its header.') : damaged('It has no image.')
  return whole({ name: 'frames', count: Math.max(1, frames) })
}

/** Writes a WebP anew with the chunks that are whole, and with its real size. */
export function repairWebp(file: Buffer): Buffer {
  const { end } = walk(file)
  const padded = Buffer.concat([file.subarray(0, end), Buffer.alloc(end % 2)])
  if (padded.length >= headBytes) padded.writeUInt32LE(padded.length - 8, 4)
  return padded
}

/** RIFF, the size of what follows, WEBP. */
const headBytes = 12
/** RFC 9649, 2.4: the size has at most 32 bits less 10. */
const maxEnd = 0xfffffff0

/** @returns what the chunks say, where the last whole one ends, and the type of the one that the file's end cuts */
function walk(file: Buffer) {
  const result = { chunks: 0, frames: 0, hasImage: false, end: headBytes, declaredEnd: 0 }
  if (file.length < headBytes) return { ...result, end: file.length, cutIn: 'VP8 ' }
  result.declaredEnd = file.readUInt32LE(4) + 8
  let cutIn: string | undefined
  for (let at = headBytes; at + 8 <= file.length; ) {
    // Bytes after the image are no chunks of it.
    if (result.hasImage && result.declaredEnd > headBytes && at >= result.declaredEnd) break
    result.chunks += 1
    // Counting on would take as long as the file wants.
    if (result.chunks > partLimits.chunks) break
    const type = file.toString('latin1', at, at + 4)
    const dataEnd = at + 8 + file.readUInt32LE(at + 4)
    if (dataEnd > file.length) {
      cutIn = type
      break
    }
    if (type === 'ANMF') result.frames += 1
    if (type === 'ANMF' || type === 'VP8 ' || type === 'VP8L') result.hasImage = true
    result.end = dataEnd
    at = dataEnd + (dataEnd % 2)
  }
  return { ...result, cutIn }
}
