/** PNG specification, 5.2. */
const signature = Buffer.from('\x89PNG\r\n\x1a\n', 'latin1')
/** PNG specification, 11.2.5: the last chunk, with its length, type and CRC. */
const lastChunk = Buffer.from('\0\0\0\0IEND\xaeB`\x82', 'latin1')
/** Signature, header and last chunk. */
const minBytes = 8 + 25 + 12
/** It is decoded for each variant, so it must be small beside an image. */
const maxSide = 2048

/**
 * Checks the picture of a watermark, without decoding it.
 *
 * @param base64 a PNG file in base64
 * @returns what is wrong, as the end of a sentence; undefined if nothing is
 */
export function watermarkProblem(base64: string): string | undefined {
  const file = Buffer.from(base64, 'base64')
  if (!file.subarray(0, signature.length).equals(signature)) return 'is no PNG file'
  const isComplete = file.length >= minBytes && file.subarray(-lastChunk.length).equals(lastChunk)
  if (!isComplete) return 'is an incomplete PNG file'
  const [width, height] = [file.readUInt32BE(16), file.readUInt32BE(20)]
  if (Math.max(width, height) > maxSide) {
    return `has ${width} × ${height} pixels; it must have at most ${maxSide} on each side`
  }
  return undefined
}
