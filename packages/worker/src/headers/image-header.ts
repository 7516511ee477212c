import { countApngFrames } from '../structure/apng-structure.ts'
import { readBmpFrame } from '../structure/bmp-structure.ts'
import { checkGif, readGifSize } from '../structure/gif-structure.ts'
import { readHeifFrame } from '../structure/heif-structure.ts'
import { readIconFrame } from '../structure/ico-structure.ts'
import { readJpegFrame } from '../structure/jpeg-structure.ts'
import { readJxlFrame } from '../structure/jxl-structure.ts'
import { checkSvg, countElements, readableSvg } from '../structure/svg-structure.ts'
import { checkWebp } from '../structure/webp-structure.ts'
import { readRawStructure } from '../tiff/raw-structure.ts'
import { readTiffFrame } from '../tiff/tiff-structure.ts'
import { readVideoFrame, uprightSize } from './video-frame.ts'
import { videoFrameKind } from './video-frame-kind.ts'

/** What a file's header says about the memory that decoding takes. */
export type ImageHeader = {
  /** Pixels of one frame. */
  width: number
  height: number
  frames: number
  /** Bytes of a pixel as the file has it: all samples with their depth; of a JPEG, its subsampled coefficients. */
  pixelBytes: number
  /** Interlaced or progressive: the decoder must hold the whole image. */
  isInterlaced: boolean
  /** Drawn in the size of its variants; 0 × 0 if the file's head does not say its proportions. */
  isVector?: boolean
  /** Elements of its text. */
  elements?: number
  /** Pixels of the largest image within it. */
  imagePixels?: number
}

/**
 * Reads a file's header without decoding. It runs in the worker itself, so it only reads numbers at places.
 *
 * @returns undefined if there is none; a decoder then rejects the file
 */
export function readImageHeader(kind: string, file: Buffer): ImageHeader | undefined {
  try {
    switch (kind) {
      case 'image/jpeg':
        return readJpegFrame(file)
      case 'image/png':
        return pngHeader(file)
      case 'image/apng':
        return { ...pngHeader(file), frames: countApngFrames(file) }
      case 'image/gif':
        return {
          ...readGifSize(file),
          // A file that is cut in its first frame has none.
          frames: Math.max(1, checkGif(file).parts?.count ?? 1),
          pixelBytes: 1,
          isInterlaced: false,
        }
      case 'image/webp':
        return webpHeader(file)
      case 'image/tiff':
        return readTiffFrame(file)
      case 'image/avif':
        return avifHeader(file)
      case 'image/heic':
      case 'image/heif':
        return readHeifFrame(file)
      case 'image/bmp':
        return readBmpFrame(file)
      case 'image/x-icon':
        return readIconFrame(file)
      case 'image/jxl':
        return readJxlFrame(file)
      case 'image/svg+xml':
        return svgHeader(file)
      case 'application/pdf':
        return pdfHeader(file)
      case videoFrameKind:
        return videoFrameHeader(file)
      default:
        return previewHeader(file)
    }
  } catch (error) {
    // The file ends before the number.
    if (error instanceof RangeError) return undefined
    throw error
  }
}

function videoFrameHeader(file: Buffer): ImageHeader | undefined {
  const frame = readVideoFrame(file)
  return frame && { ...uprightSize(frame.geometry), frames: 1, pixelBytes: 3, isInterlaced: false }
}

/** PNG specification, 11.2.2: width, height, depth, colour type, and at last the interlace method. */
function pngHeader(file: Buffer): ImageHeader {
  const samples = [1, 0, 3, 1, 2, 0, 4][file.readUInt8(25)] ?? 4
  return {
    width: file.readUInt32BE(16),
    height: file.readUInt32BE(20),
    frames: 1,
    // A palette becomes four samples, and fewer than 8 bits become 8.
    pixelBytes: file.readUInt8(25) === 3 ? 4 : (samples * Math.max(8, file.readUInt8(24))) / 8,
    isInterlaced: file.readUInt8(28) === 1,
  }
}

/** RFC 9649, 2.5 to 2.7: the canvas of VP8X, or the frame header of VP8 or VP8L. */
function webpHeader(file: Buffer): ImageHeader {
  const frames = checkWebp(file).parts?.count ?? 1
  const rest = { frames, pixelBytes: 4, isInterlaced: false }
  switch (file.toString('latin1', 12, 16)) {
    case 'VP8X':
      return { width: file.readUIntLE(24, 3) + 1, height: file.readUIntLE(27, 3) + 1, ...rest }
    case 'VP8L': {
      const bits = file.readUInt32LE(21)
      return { width: (bits & 0x3fff) + 1, height: ((bits >>> 14) & 0x3fff) + 1, ...rest }
    }
    default:
      return { width: file.readUInt16LE(26) & 0x3fff, height: file.readUInt16LE(28) & 0x3fff, ...rest }
  }
}

/**
 * ISO/IEC 23008-12, 6.5.3: the property `ispe` has width and height of an item. The image is the largest item. AV1 Codec
 * ISO Media File Format Binding, 2.3: `av1C` has a flag for more than 8 bits.
 */
function avifHeader(file: Buffer): ImageHeader | undefined {
  let width = 0
  let height = 0
  for (const at of positions(file, 'ispe')) {
    const [itemWidth, itemHeight] = [file.readUInt32BE(at + 8), file.readUInt32BE(at + 12)]
    if (itemWidth * itemHeight > width * height) [width, height] = [itemWidth, itemHeight]
  }
  if (width === 0) return undefined
  const isDeep = positions(file, 'av1C').some((at) => (file.readUInt8(at + 6) & 0x40) !== 0)
  return { width, height, frames: 1, pixelBytes: isDeep ? 8 : 4, isInterlaced: false }
}

/** The size of the root element, if it is at the beginning of the file. */
function svgHeader(file: Buffer): ImageHeader {
  const { size } = checkSvg(readableSvg(file.subarray(0, headBytes)))
  return {
    width: 0,
    height: 0,
    ...size,
    frames: 1,
    pixelBytes: 4,
    isInterlaced: false,
    isVector: true,
    elements: countElements(file),
  }
}

/**
 * ISO 32000-2, 7.7.3.3: the box of the first page in the file, which is seldom compressed and often that of all pages, and
 * 8.9.5: the largest image, which is decoded as a whole.
 */
function pdfHeader(file: Buffer): ImageHeader {
  const boxAt = file.indexOf('/MediaBox', 0, 'latin1')
  const box = /^\/MediaBox\s*\[([^\]]*)\]/.exec(file.toString('latin1', Math.max(0, boxAt), boxAt + 200))?.[1]
  const [left = 0, bottom = 0, right = 0, top = 0] = (box ?? '').trim().split(/\s+/).map(Number)
  const [width, height] = [Math.abs(right - left) || 0, Math.abs(top - bottom) || 0]
  const head = { frames: 1, pixelBytes: 4, isInterlaced: false, isVector: true }
  return { width, height, ...head, imagePixels: largestPdfImage(file) }
}

/** A scanned book has an image for each page. */
const maxPdfImages = 10_000

/** @returns the pixels of the largest image whose dictionary says so */
function largestPdfImage(file: Buffer): number {
  let largest = 0
  let at = file.indexOf('/Width', 0, 'latin1')
  for (let count = 0; at !== -1 && count < maxPdfImages; count++) {
    const around = file.toString('latin1', Math.max(0, at - 200), at + 200)
    const [, width] = /\/Width\s+(\d{1,9})/.exec(around) ?? []
    const [, height] = /\/Height\s+(\d{1,9})/.exec(around) ?? []
    largest = Math.max(largest, Number(width ?? 0) * Number(height ?? 0))
    at = file.indexOf('/Width', at + 6, 'latin1')
  }
  return largest
}

/** Of a camera's raw file: the header of its largest preview. */
function previewHeader(file: Buffer): ImageHeader | undefined {
  const [preview] = readRawStructure(file)?.previews ?? []
  return preview && readJpegFrame(file.subarray(preview.start, preview.end))
}

/** Properties are at the beginning of a file; a grid has one of each for its tiles. */
const headBytes = 64 * 1024

function positions(file: Buffer, type: string): number[] {
  const found: number[] = []
  const head = file.subarray(0, headBytes)
  for (let at = head.indexOf(type, 0, 'latin1'); at !== -1; at = head.indexOf(type, at + 4, 'latin1')) {
    if (at + 16 <= file.length) found.push(at)
  }
  return found
}
