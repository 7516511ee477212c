import { damaged, type Structure, truncated, whole } from './structure.ts'

/** Where things are in a BMP, or in the bitmap of an icon, which has no file header and a mask after its pixels. */
export type BmpLayout = {
  width: number
  height: number
  isTopDown: boolean
  bitsPerPixel: number
  compression: number
  /** Masks of red, green, blue and alpha in a pixel of 16 or 32 bits; a mask of 0 is absent. */
  masks: readonly [number, number, number, number]
  palette: { start: number; entries: number; entryBytes: number }
  pixelsStart: number
  /** Of a row in the file, padded to 4 bytes. */
  rowBytes: number
  /** The bytes of an embedded ICC profile. */
  profile: { start: number; end: number } | undefined
}

/** Values of `biCompression` (Windows GDI, BITMAPINFOHEADER and BITMAPV5HEADER). */
export const bmpCompressions = { none: 0, rle8: 1, rle4: 2, masks: 3, masksWithAlpha: 6 } as const

/** Sizes of header versions: BITMAPCOREHEADER, BITMAPINFOHEADER, V2, V3 and V5. */
const headers = { core: 12, info: 40, v2: 52, v3: 56, v5: 124 } as const
const fileHeaderBytes = 14
const maxPaletteEntries = 256
/** `LCS_PROFILE_EMBEDDED`, the letters MBED as a number. */
const embeddedProfile = 0x4d424544

/**
 * Reads the header of a BMP.
 *
 * @param options.start where the bitmap's header is, if it is not after a file header
 * @param options.isIcon its height counts the mask too
 * @returns undefined if there is no valid header
 */
export function readBmpLayout(
  file: Buffer,
  { start = fileHeaderBytes, isIcon = false }: { start?: number; isIcon?: boolean } = {},
): BmpLayout | undefined {
  if (start + headers.core > file.length) return undefined
  const headerBytes = file.readUInt32LE(start)
  const isCore = headerBytes === headers.core
  if (!isCore && (headerBytes < 16 || start + headerBytes > file.length)) return undefined
  const u32 = (at: number, missing = 0) => (at + 4 <= headerBytes ? file.readUInt32LE(start + at) : missing)
  const width = isCore ? file.readUInt16LE(start + 4) : file.readInt32LE(start + 4)
  const signedHeight = isCore ? file.readUInt16LE(start + 6) : file.readInt32LE(start + 8)
  const height = Math.floor(Math.abs(signedHeight) / (isIcon ? 2 : 1))
  const bitsPerPixel = file.readUInt16LE(start + (isCore ? 10 : 14))
  if (width <= 0 || height === 0) return undefined
  const compression = isCore ? bmpCompressions.none : u32(16)

  const hasMasks = compression === bmpCompressions.masks || compression === bmpCompressions.masksWithAlpha
  let tablesStart = start + headerBytes
  let masks = defaultMasks(bitsPerPixel, isIcon)
  if (hasMasks) {
    // With the shortest header, the masks follow it.
    const hasAlpha = compression === bmpCompressions.masksWithAlpha || headerBytes >= headers.v3
    const masksStart = start + headers.info
    if (masksStart + 16 > file.length) return undefined
    const mask = (index: number) => file.readUInt32LE(masksStart + 4 * index)
    masks = [mask(0), mask(1), mask(2), hasAlpha ? mask(3) : 0]
    if (headerBytes < headers.v2) tablesStart += hasAlpha ? 16 : 12
  }

  const entryBytes = isCore ? 3 : 4
  const used = u32(32)
  const possible = bitsPerPixel <= 8 ? 2 ** bitsPerPixel : 0
  const entries = Math.min(
    used > 0 && bitsPerPixel <= 8 ? used : possible,
    maxPaletteEntries,
    Math.floor((file.length - tablesStart) / entryBytes),
  )
  // A palette of an image that needs none is a recommendation for displays.
  const tablesEnd =
    tablesStart + (bitsPerPixel <= 8 ? entries : Math.min(used, maxPaletteEntries)) * entryBytes
  const declared = isIcon ? 0 : file.readUInt32LE(10)
  return {
    width,
    height,
    isTopDown: signedHeight < 0,
    bitsPerPixel,
    compression,
    masks,
    palette: { start: tablesStart, entries: Math.max(0, entries), entryBytes },
    // Some programs leave out the place of the pixels.
    pixelsStart: declared >= start + headerBytes ? declared : tablesEnd,
    rowBytes: Math.ceil((width * bitsPerPixel) / 32) * 4,
    profile: profileOf(file, start, headerBytes),
  }
}

/** Checks that the pixels of a BMP without compression are all there. The padding of the last row is not needed. */
export function checkBmp(file: Buffer, layout: BmpLayout | undefined = readBmpLayout(file)): Structure {
  if (!layout) {
    const isCut = file.length < fileHeaderBytes + 4 || fileHeaderBytes + headerSize(file) > file.length
    return isCut ? truncated('It ends in its header.') : damaged('Its header has no size.')
  }
  const { width, height, bitsPerPixel, compression, rowBytes, pixelsStart } = layout
  if (compression === bmpCompressions.rle4 || compression === bmpCompressions.rle8) return whole()
  const lastRowBytes = Math.ceil((width * bitsPerPixel) / 8)
  const needed = pixelsStart + rowBytes * (height - 1) + lastRowBytes
  return needed > file.length ? truncated(`It has ${file.length} of ${needed} bytes.`) : whole()
}

/** The size of a file's bitmap header, or 0 if no version has this size. */
function headerSize(file: Buffer): number {
  const bytes = file.readUInt32LE(fileHeaderBytes)
  return bytes <= headers.v5 ? bytes : 0
}

/** Returns size and cost of a BMP, or undefined if it has no valid header. */
export function readBmpFrame(file: Buffer, options: { start?: number; isIcon?: boolean } = {}) {
  const layout = readBmpLayout(file, options)
  if (!layout) return undefined
  const { width, height } = layout
  return { width, height, frames: 1, pixelBytes: 4, isInterlaced: false }
}

/** Without masks, 16 bits are 5 for each colour. The fourth byte of 32 bits is alpha in icons only. */
function defaultMasks(bitsPerPixel: number, isIcon: boolean): BmpLayout['masks'] {
  if (bitsPerPixel === 16) return [0x7c00, 0x3e0, 0x1f, 0]
  return [0xff0000, 0xff00, 0xff, isIcon ? 0xff000000 : 0]
}

function profileOf(file: Buffer, start: number, headerBytes: number): BmpLayout['profile'] {
  if (headerBytes < headers.v5 || file.readUInt32LE(start + 56) !== embeddedProfile) return undefined
  const at = start + file.readUInt32LE(start + 112)
  const end = at + file.readUInt32LE(start + 116)
  return end <= file.length ? { start: at, end } : undefined
}
