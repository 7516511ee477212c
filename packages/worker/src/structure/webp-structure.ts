import { damaged, partLimits, type Structure, truncated, whole } from './structure.ts'

/**
 * Checks the RIFF chunks of a WebP (RFC 9649, 2.3). A missing last padding byte is no fault.
 */
export function checkWebp(file: Buffer): Structure {
  if (file.length < 20) return truncated('It ends in its header.')
  const declaredEnd = file.readUInt32LE(4) + 8
  const end = Math.min(declaredEnd, file.length)
  let frames = 0
  let chunks = 0
  let hasImage = false
  let at = 12
  while (at + 8 <= end) {
    chunks += 1
    // Counting on would take as long as the file wants.
    if (chunks > partLimits.chunks) return whole({ name: 'chunks', count: chunks })
    const type = file.toString('latin1', at, at + 4)
    const dataEnd = at + 8 + file.readUInt32LE(at + 4)
    if (dataEnd > file.length) return truncated(`It ends in its chunk ${JSON.stringify(type)}.`)
    if (dataEnd > declaredEnd) return damaged(`Its chunk ${JSON.stringify(type)} is larger than the file.`)
    if (type === 'ANMF') frames += 1
    if (type === 'ANMF' || type === 'VP8 ' || type === 'VP8L') hasImage = true
    at = dataEnd + (dataEnd % 2)
  }
  // An even file whose chunk is odd is one byte shorter than declared without its padding.
  if (declaredEnd > file.length + 1) return truncated(`It has ${file.length} of ${declaredEnd} bytes.`)
  if (!hasImage) return damaged('It has no image.')
  return whole({ name: 'frames', count: Math.max(1, frames) })
}
