import { type BmpLayout, bmpCompressions } from '../structure/bmp-structure.ts'

/** Bits per pixel that BMPs have. */
const depths: ReadonlySet<number> = new Set([1, 2, 4, 8, 16, 24, 32])

/** Whether the pixels can be decoded. Not those that are a JPEG or PNG for printers, or OS/2's Huffman and RLE of 24 bits. */
export function isDecodableBmp({ bitsPerPixel, compression, masks }: BmpLayout): boolean {
  switch (compression) {
    case bmpCompressions.none:
      return depths.has(bitsPerPixel)
    case bmpCompressions.rle8:
      return bitsPerPixel === 8
    case bmpCompressions.rle4:
      return bitsPerPixel === 4
    case bmpCompressions.masks:
    case bmpCompressions.masksWithAlpha:
      return (bitsPerPixel === 16 || bitsPerPixel === 32) && masks.every(isContiguous)
    default:
      return false
  }
}

/** A result of decoding: whether all rows were there, and whether any pixel has an alpha above 0. */
export type BmpResult = { isComplete: boolean; hasVisibleAlpha: boolean }

/**
 * Decodes the pixels of a BMP whose layout was checked, into rows from the top.
 *
 * @param target 3 or 4 bytes per pixel: red, green, blue, alpha
 */
export function decodeBmpPixels(file: Buffer, layout: BmpLayout, channels: 3 | 4, target: Buffer): BmpResult {
  const { bitsPerPixel, compression } = layout
  if (bitsPerPixel > 8) return decodeColours(file, layout, channels, target)
  const isRle = compression === bmpCompressions.rle8 || compression === bmpCompressions.rle4
  const { indexes, isComplete } = isRle
    ? decodeRuns(file, layout)
    : { indexes: unpackIndexes(file, layout), isComplete: true }
  applyPalette(file, layout, channels, { indexes, target })
  return { isComplete, hasVisibleAlpha: false }
}

function isContiguous(mask: number): boolean {
  if (mask === 0) return true
  const shifted = mask >>> shiftOf(mask)
  return (shifted & (shifted + 1)) === 0
}

/** The number of zero bits below a mask. */
function shiftOf(mask: number): number {
  return 31 - Math.clz32(mask & -mask)
}

/** Calls back for each row from the top: its number there, and where it is in the file. */
function* rows({
  height,
  isTopDown,
  pixelsStart,
  rowBytes,
}: BmpLayout): Generator<[y: number, start: number]> {
  for (let y = 0; y < height; y++) yield [y, pixelsStart + rowBytes * (isTopDown ? y : height - 1 - y)]
}

function decodeColours(file: Buffer, layout: BmpLayout, channels: 3 | 4, target: Buffer): BmpResult {
  const { width, bitsPerPixel } = layout
  const pixelBytes = bitsPerPixel / 8
  const isPlain = bitsPerPixel === 24 || layout.masks.join() === '16711680,65280,255,0'
  const [red, green, blue, alpha] = layout.masks.map(maskReader)
  let hasVisibleAlpha = false
  for (const [y, start] of rows(layout)) {
    let to = y * width * channels
    for (let from = start; from < start + width * pixelBytes; from += pixelBytes) {
      if (isPlain) {
        target[to] = file[from + 2] ?? 0
        target[to + 1] = file[from + 1] ?? 0
        target[to + 2] = file[from] ?? 0
        if (channels === 4) target[to + 3] = 255
      } else {
        const low = (file[from] ?? 0) | ((file[from + 1] ?? 0) << 8)
        const value =
          bitsPerPixel === 16 ? low : low | ((file[from + 2] ?? 0) << 16) | ((file[from + 3] ?? 0) << 24)
        target[to] = red?.(value) ?? 0
        target[to + 1] = green?.(value) ?? 0
        target[to + 2] = blue?.(value) ?? 0
        if (channels === 4) {
          const opacity = alpha?.(value) ?? 255
          target[to + 3] = opacity
          if (opacity > 0) hasVisibleAlpha = true
        }
      }
      to += channels
    }
  }
  return { isComplete: true, hasVisibleAlpha }
}

/** Returns a function that takes the bits of a mask from a pixel and scales them to 8 bits. */
function maskReader(mask: number): (value: number) => number {
  if (mask === 0) return () => 0
  const shift = shiftOf(mask)
  const max = mask >>> shift
  if (max === 255) return (value) => (value >>> shift) & 255
  return (value) => Math.round((((value & mask) >>> shift) * 255) / max)
}

/** Unpacks the palette's indexes of pixels with 1, 2, 4 or 8 bits; the first pixel is in the highest bits. */
function unpackIndexes(file: Buffer, layout: BmpLayout): Uint8Array {
  const { width, height, bitsPerPixel } = layout
  const indexes = new Uint8Array(width * height)
  const perByte = 8 / bitsPerPixel
  const mask = 2 ** bitsPerPixel - 1
  for (const [y, start] of rows(layout)) {
    for (let x = 0; x < width; x++) {
      const byte = file[start + Math.floor(x / perByte)] ?? 0
      indexes[y * width + x] = (byte >> (8 - bitsPerPixel * ((x % perByte) + 1))) & mask
    }
  }
  return indexes
}

/**
 * Decodes RLE8 or RLE4 (Windows GDI, Bitmap Compression). Pixels that no run covers have the first colour.
 * `isComplete`: its end was there, or all of its rows.
 */
function decodeRuns(file: Buffer, layout: BmpLayout): { indexes: Uint8Array; isComplete: boolean } {
  const { width, height, isTopDown, pixelsStart } = layout
  const isNibbles = layout.compression === bmpCompressions.rle4
  const indexes = new Uint8Array(width * height)
  let at = pixelsStart
  let x = 0
  let y = 0
  function put(index: number): void {
    if (x < width && y < height) indexes[(isTopDown ? y : height - 1 - y) * width + x] = index
    x += 1
  }
  const isFull = () => y >= height || (y === height - 1 && x >= width)
  while (at + 2 <= file.length) {
    const count = file[at] ?? 0
    const value = file[at + 1] ?? 0
    at += 2
    if (count > 0) {
      for (let i = 0; i < count; i++) put(isNibbles ? (i % 2 === 0 ? value >> 4 : value & 15) : value)
    } else if (value === 0) {
      x = 0
      y += 1
    } else if (value === 1) return { indexes, isComplete: true }
    else if (value === 2) {
      if (at + 2 > file.length) break
      x += file[at] ?? 0
      y += file[at + 1] ?? 0
      at += 2
    } else {
      // `value` pixels follow as they are, padded to 2 bytes.
      const bytes = isNibbles ? Math.ceil(value / 2) : value
      if (at + bytes > file.length) break
      for (let i = 0; i < value; i++) {
        const byte = file[at + (isNibbles ? i >> 1 : i)] ?? 0
        put(isNibbles ? (i % 2 === 0 ? byte >> 4 : byte & 15) : byte)
      }
      at += bytes + (bytes % 2)
    }
    // Whatever follows draws nothing.
    if (y >= height) return { indexes, isComplete: true }
  }
  return { indexes, isComplete: isFull() }
}

/** Writes the colours of indexes. The palette has blue, green, red; an index beyond it is black. */
function applyPalette(
  file: Buffer,
  { palette }: BmpLayout,
  channels: 3 | 4,
  { indexes, target }: { indexes: Uint8Array; target: Buffer },
): void {
  const colours = new Uint8Array(3 * 256)
  for (let entry = 0; entry < palette.entries; entry++) {
    const at = palette.start + entry * palette.entryBytes
    colours.set([file[at + 2] ?? 0, file[at + 1] ?? 0, file[at] ?? 0], 3 * entry)
  }
  let to = 0
  for (const index of indexes) {
    target[to] = colours[3 * index] ?? 0
    target[to + 1] = colours[3 * index + 1] ?? 0
    target[to + 2] = colours[3 * index + 2] ?? 0
    if (channels === 4) target[to + 3] = 255
    to += channels
  }
}
