/**
 * Code points of ITU-T H.273 that say how a picture's numbers are colours: primaries (table 2) and the transfer
 * characteristics (table 3).
 */
export type Cicp = { primaries: number; transfer: number }

/** Returns the code points of a PNG's chunk cICP (PNG specification, 11.3.2.6), which precedes its image data. */
export function readPngCicp(file: Buffer): Cicp | undefined {
  for (let at = 8; at + 12 <= file.length; ) {
    const type = file.toString('latin1', at + 4, at + 8)
    if (type === 'IDAT') return undefined
    if (type === 'cICP') return { primaries: file.readUInt8(at + 8), transfer: file.readUInt8(at + 9) }
    at += 12 + file.readUInt32BE(at)
  }
  return undefined
}

/** Boxes are at the beginning of a file, before its image data. */
const headBytes = 64 * 1024

/**
 * Returns the code points of an AVIF's or HEIF's property `colr` of the type `nclx` (ISO/IEC 14496-12, 12.1.5). A colour
 * profile, if there is one too, comes first, and libvips uses it.
 */
export function readHeifCicp(file: Buffer): Cicp | undefined {
  const head = file.subarray(0, headBytes)
  if (head.includes('colrprof') || head.includes('colrrICC')) return undefined
  const at = head.indexOf('colrnclx')
  if (at === -1 || at + 12 > head.length) return undefined
  return { primaries: head.readUInt16BE(at + 8), transfer: head.readUInt16BE(at + 10) }
}
