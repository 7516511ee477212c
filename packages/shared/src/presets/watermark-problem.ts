import { crc32, inflateSync } from 'node:zlib'

/** PNG specification, 5.2. */
const signature = Buffer.from('\x89PNG\r\n\x1a\n', 'latin1')
/** Length, type and CRC of a chunk (PNG specification, 5.3). */
const chunkFrameBytes = 12
/** The place of width and height in the first chunk. */
const sizeAt = 16
/** It is decoded for each image, so it must be small beside one. */
const maxSide = 2048
/** Rows of the largest picture of 16 bits with alpha, and a byte for each row, in bytes. */
const maxRowsBytes = maxSide * (maxSide * 8 + 1)

/**
 * Checks the picture of a watermark, so that a damaged one is found when a service starts, and not with each upload.
 *
 * @param base64 a PNG file in base64
 * @returns what is wrong, as the end of a sentence; undefined if nothing is
 */
export function watermarkProblem(base64: string): string | undefined {
  const file = Buffer.from(base64, 'base64')
  if (!file.subarray(0, signature.length).equals(signature)) return 'is no PNG file'
  const compressed = readImageData(file)
  if (!compressed) return 'is a damaged PNG file'
  const [width, height] = [file.readUInt32BE(sizeAt), file.readUInt32BE(sizeAt + 4)]
  if (Math.max(width, height) > maxSide) {
    return `has ${width} × ${height} pixels; it must have at most ${maxSide} on each side`
  }
  try {
    inflateSync(compressed, { maxOutputLength: maxRowsBytes })
    return undefined
  } catch {
    return 'is a damaged PNG file'
  }
}

/** Returns the compressed rows; undefined if a chunk is cut or its CRC is wrong, or if the first or last one is missing. */
function readImageData(file: Buffer): Buffer | undefined {
  const parts: Buffer[] = []
  for (let at = signature.length; at + chunkFrameBytes <= file.length; ) {
    const end = at + chunkFrameBytes + file.readUInt32BE(at)
    if (end > file.length || crc32(file.subarray(at + 4, end - 4)) !== file.readUInt32BE(end - 4))
      return undefined
    const type = file.toString('latin1', at + 4, at + 8)
    if (at === signature.length && (type !== 'IHDR' || end - at < chunkFrameBytes + 13)) return undefined
    if (type === 'IDAT') parts.push(file.subarray(at + 8, end - 4))
    if (type === 'IEND') return Buffer.concat(parts)
    at = end
  }
  return undefined
}
