import { boxes } from './bmff-boxes.ts'
import { damaged, type Structure, truncated, whole } from './structure.ts'

/** Checks that the boxes of an AVIF are all there (ISO/IEC 14496-12, 4.2): a size of 0 means up to the end. */
export function checkAvif(file: Buffer): Structure {
  let at = 0
  while (at < file.length) {
    if (at + 8 > file.length) return whole()
    const type = file.toString('latin1', at + 4, at + 8)
    let size = file.readUInt32BE(at)
    if (size === 0) return whole()
    if (size === 1) {
      if (at + 16 > file.length) return truncated('It ends in the head of a box.')
      size = Number(file.readBigUInt64BE(at + 8))
    }
    if (size < 8) return damaged(`The box at byte ${at} has the size ${size}.`)
    if (at + size > file.length) {
      // What follows the image is not needed.
      if (type === 'free' || type === 'skip') return whole()
      return truncated(`It ends in its box ${JSON.stringify(type)}.`)
    }
    at += size
  }
  return whole()
}

/** ISO/IEC 14496-12, 4.3: size, type, major brand, its version, compatible brands. */
const majorBrandAt = 8
const firstBrandAt = 16

/**
 * Declares an AVIF as a still image for libheif, which looks at brands first: a file of the profile `MA1B` or the general
 * brand `miaf` is one, and a sequence (`avis`) has a still image too (AV1 Image File Format, 3.1 and 6).
 *
 * @returns a copy, if anything had to change
 */
export function asStillAvif(file: Buffer): { bytes: Buffer; isSequence: boolean } {
  const isSequence = brandsOf(file)[0] === 'avis'
  if (file.length < firstBrandAt || brandsOf(file)[0] === 'avif') return { bytes: file, isSequence }
  const bytes = Buffer.from(file)
  bytes.write('avif', majorBrandAt, 'latin1')
  return { bytes, isSequence }
}

/** Names what makes an AVIF one that is not decoded. @returns a sentence, or undefined */
export function unsupportedAvif(file: Buffer): string | undefined {
  if (!brandsOf(file).includes('avis')) return undefined
  const types = new Set(boxes(file, 0, file.length).map(({ type }) => type))
  // Still images are described by `meta`.
  return types.has('moov') && !types.has('meta')
    ? 'The AVIF is a sequence without a still image, which is not supported.'
    : undefined
}

/** Returns the major brand and the compatible brands. */
function brandsOf(file: Buffer): string[] {
  if (file.length < firstBrandAt) return []
  const end = Math.min(file.readUInt32BE(0), file.length, 4_096)
  const brands = file.toString('latin1', firstBrandAt, Math.max(firstBrandAt, end)).match(/.{4}/gs) ?? []
  return [file.toString('latin1', majorBrandAt, majorBrandAt + 4), ...brands]
}
