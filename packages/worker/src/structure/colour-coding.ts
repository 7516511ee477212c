/**
 * Code points of ITU-T H.273 that say how a picture's numbers are colours: primaries (table 2) and the transfer
 * characteristics (table 3).
 */
export type Cicp = { primaries: number; transfer: number }

/** How a PNG's numbers are colours, by the chunks gAMA and cHRM. */
export type PngColours = {
  /** The exponent that makes light of a number from 0 to 1; undefined if it is that of sRGB. */
  gamma: number | undefined
  /** x and y of white, red, green and blue; undefined if they are those of sRGB. */
  chromaticities: readonly number[] | undefined
}

/** sRGB, as the chunk cHRM has it: x and y of white, red, green and blue. */
const srgbChromaticities = [0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06]

/**
 * Returns what the chunks before a PNG's image data say about its colours. Of several, the first of cICP, iCCP, sRGB, and
 * gAMA with cHRM counts (PNG specification, 4.3). libvips reads iCCP only.
 */
export function readPngColours(file: Buffer): Cicp | PngColours | undefined {
  const chunks = new Map<string, Buffer>()
  for (let at = 8; at + 12 <= file.length && chunks.size < 32; ) {
    const type = file.toString('latin1', at + 4, at + 8)
    if (type === 'IDAT') break
    const end = at + 8 + file.readUInt32BE(at)
    if (!chunks.has(type)) chunks.set(type, file.subarray(at + 8, end))
    at = end + 4
  }
  const cicp = chunks.get('cICP')
  if (cicp && cicp.length >= 4) return { primaries: cicp.readUInt8(0), transfer: cicp.readUInt8(1) }
  if (chunks.has('iCCP') || chunks.has('sRGB')) return undefined
  const gama = chunks.get('gAMA')
  // One divided by the exponent, times 100,000. About 45,455 is what encoders write for sRGB.
  const stored = gama && gama.length >= 4 ? gama.readUInt32BE(0) : 0
  const gamma = stored > 0 && Math.abs(stored - 45_455) > 2_000 ? 100_000 / stored : undefined
  const chrm = chunks.get('cHRM')
  const found =
    chrm && chrm.length >= 32
      ? srgbChromaticities.map((_, i) => chrm.readUInt32BE(4 * i) / 100_000)
      : undefined
  const isOther = found?.some((value, i) => Math.abs(value - (srgbChromaticities[i] ?? 0)) > 0.005)
  const isPossible = found?.every((value, i) => value < 1 && (i % 2 === 0 || value > 0))
  const chromaticities = isOther && isPossible ? found : undefined
  return gamma === undefined && chromaticities === undefined ? undefined : { gamma, chromaticities }
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
