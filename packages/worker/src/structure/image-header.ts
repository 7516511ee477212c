import { checkGif } from './gif-structure.ts'
import { readJpegFrame } from './jpeg-structure.ts'
import { readTiffFrame } from './tiff-structure.ts'
import { readVideoFrame, uprightSize, videoFrameKind } from './video-frame.ts'
import { checkWebp } from './webp-structure.ts'

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
      case 'image/apng':
        return pngHeader(file)
      case 'image/gif':
        return {
          width: file.readUInt16LE(6),
          height: file.readUInt16LE(8),
          frames: checkGif(file).parts?.count ?? 1,
          pixelBytes: 1,
          isInterlaced: false,
        }
      case 'image/webp':
        return webpHeader(file)
      case 'image/tiff':
        return readTiffFrame(file)
      case 'image/avif':
        return avifHeader(file)
      case videoFrameKind:
        return videoFrameHeader(file)
      default:
        return undefined
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
