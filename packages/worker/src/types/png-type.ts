import type { BoundedFile } from './bounded-file.ts'

/**
 * Returns whether a PNG is animated: it has a chunk acTL before its first IDAT (PNG, 3rd edition, 11.3.6.1). Long chunks,
 * such as a colour profile or an editor's own, may come before both.
 */
export async function isAnimatedPng(file: BoundedFile): Promise<boolean> {
  // After the signature: length, type, data and checksum of each chunk.
  for (let at = 8; at < file.size; ) {
    const header = await file.read(at, 8)
    if (header.length < 8) return false
    const type = header.toString('latin1', 4, 8)
    if (type === 'acTL') return true
    if (type === 'IDAT' || type === 'IEND') return false
    at += header.readUInt32BE(0) + 12
  }
  return false
}
