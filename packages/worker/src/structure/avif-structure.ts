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
