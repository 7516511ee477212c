import { type Chunk, pngChunks, pngEnd, pngSignature, writeChunk } from './png-structure.ts'
import { partLimits } from './structure.ts'

/** A frame of an animated PNG (PNG specification, third edition, 11.3.6): its place on the canvas and its data. */
export type ApngFrame = {
  width: number
  height: number
  x: number
  y: number
  delayMs: number
  /** What happens to its place before the next frame: stays, becomes transparent, or becomes what it was. */
  dispose: 'none' | 'background' | 'previous'
  /** Whether it replaces what is at its place, transparency included, or is drawn over it. */
  blend: 'source' | 'over'
  /** Compressed image data, in pieces. */
  data: Buffer[]
}

export type Apng = {
  width: number
  height: number
  frames: ApngFrame[]
  /** As the file says. */
  declaredFrames: number
  /** 0 for ever. */
  plays: number
}

const disposals = ['none', 'background', 'previous'] as const
const blends = ['source', 'over'] as const

/**
 * Reads the frames of an animated PNG, one more than the limit at most. A frame without data is left out.
 *
 * @returns undefined if the file has no animation or a frame contradicts the specification; its still image may be whole
 */
export function readApng(file: Buffer): Apng | undefined {
  const chunks = pngChunks(file)
  const control = chunks.find(({ type }) => type === 'acTL')
  if (!control || dataOf(file, control).length < 8) return undefined
  const [width, height] = [file.readUInt32BE(16), file.readUInt32BE(20)]
  const frames: ApngFrame[] = []
  for (const chunk of chunks) {
    const data = dataOf(file, chunk)
    if (chunk.type === 'fcTL') {
      const frame = readFrame(data)
      // The specification forbids what is not within the canvas, so that nobody has to enlarge it.
      if (!frame || frame.x + frame.width > width || frame.y + frame.height > height) return undefined
      if (frames.length > partLimits.frames) break
      frames.push(frame)
    } else if (chunk.type === 'IDAT') {
      // Image data before the first frame is the still image only.
      frames.at(-1)?.data.push(data)
    } else if (chunk.type === 'fdAT') {
      // A number of four bytes precedes the data.
      frames.at(-1)?.data.push(data.subarray(4))
    }
  }
  const complete = frames.filter(({ data }) => data.length > 0)
  if (complete.length === 0) return undefined
  const [declaredFrames, plays] = [control.start + 8, control.start + 12].map((at) => file.readUInt32BE(at))
  return { width, height, frames: complete, declaredFrames: declaredFrames ?? 0, plays: plays ?? 0 }
}

/** Counts the frames of an animated PNG without holding them; 1 if there are none. */
export function countApngFrames(file: Buffer): number {
  return Math.max(1, pngChunks(file).filter(({ type }) => type === 'fcTL').length)
}

function readFrame(data: Buffer): ApngFrame | undefined {
  if (data.length < 26) return undefined
  const dispose = disposals[data.readUInt8(24)]
  const blend = blends[data.readUInt8(25)]
  const [width, height] = [data.readUInt32BE(4), data.readUInt32BE(8)]
  if (!dispose || !blend || width === 0 || height === 0) return undefined
  // A denominator of 0 is one of 100.
  const delayMs = Math.round((1000 * data.readUInt16BE(20)) / (data.readUInt16BE(22) || 100))
  return {
    width,
    height,
    x: data.readUInt32BE(12),
    y: data.readUInt32BE(16),
    delayMs,
    dispose,
    blend,
    data: [],
  }
}

/** Chunks that say how pixels are colours. They precede the image data and hold for all frames. */
const sharedChunks: ReadonlySet<string> = new Set([
  'PLTE',
  'tRNS',
  'gAMA',
  'cHRM',
  'sRGB',
  'iCCP',
  'sBIT',
  'cICP',
])

/** Writes a PNG of one frame of another PNG. */
export function writeFramePng(file: Buffer, { width, height, data }: ApngFrame): Buffer {
  const header = Buffer.from(file.subarray(16, 29))
  header.writeUInt32BE(width, 0)
  header.writeUInt32BE(height, 4)
  return Buffer.concat([
    pngSignature,
    writeChunk('IHDR', header),
    ...pngChunks(file)
      .filter(({ type }) => sharedChunks.has(type))
      .map((chunk) => writeChunk(chunk.type, dataOf(file, chunk))),
    writeChunk('IDAT', Buffer.concat(data)),
    pngEnd,
  ])
}

function dataOf(file: Buffer, { start, end }: Chunk): Buffer {
  return file.subarray(start + 8, end - 4)
}
