import type { BoundedFile } from './bounded-file.ts'

/** Bitrates in kbit/s by index (ISO/IEC 11172-3 and 13818-3), for MPEG-1 layers 1, 2, 3, then MPEG-2 layer 1, layers 2 and 3. */
const bitrates: Record<string, number[]> = {
  '1-1': [32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448],
  '1-2': [32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384],
  '1-3': [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
  '2-1': [32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256],
  '2-2': [8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
  '2-3': [8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
}
const sampleRates = [44_100, 48_000, 32_000]
/** Bitrates of AC-3 in kbit/s (ATSC A/52, table 5.18). */
const ac3Bitrates = [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640]

/** A frame must be followed by so many others, or by the end of the file. */
const followingFrames = 2

/** Returns a frame's length in bytes, or undefined if its header is not possible. */
type FrameLength = (header: Buffer) => number | undefined

/**
 * Returns whether frames of MPEG audio (layers 1 to 3) follow each other from the start of the file. One frame's header
 * has only 11 fixed bits.
 */
export function hasMpegAudioFrames(file: BoundedFile, at = 0): Promise<boolean> {
  return hasFrames(file, at, mpegAudioFrameLength)
}

/** The same for AAC in ADTS frames. */
export function hasAacFrames(file: BoundedFile, at = 0): Promise<boolean> {
  return hasFrames(file, at, aacFrameLength)
}

/** The same for AC-3 and E-AC-3, whose frames have only 16 fixed bits. */
export function hasAc3Frames(file: BoundedFile): Promise<boolean> {
  return hasFrames(file, 0, ac3FrameLength)
}

async function hasFrames(file: BoundedFile, start: number, frameLength: FrameLength): Promise<boolean> {
  let at = start
  for (let frames = 0; frames <= followingFrames; frames++) {
    const header = await file.read(at, 7)
    const length = header.length < 4 ? undefined : frameLength(header)
    if (length === undefined) return false
    at += length
    if (at >= file.size) return frames > 0 || at === file.size
  }
  return true
}

/** ISO/IEC 11172-3, 2.4.1.3. */
function mpegAudioFrameLength(header: Buffer): number | undefined {
  const bits = header.readUInt32BE(0)
  // 3: MPEG-1, 2: MPEG-2, 0: MPEG-2.5.
  const version = (bits >>> 19) & 3
  const layer = 4 - ((bits >>> 17) & 3)
  const sampleRate = sampleRates[(bits >>> 10) & 3]
  if (bits >>> 21 !== 0x7ff || version === 1 || sampleRate === undefined) return undefined
  if (layer !== 1 && layer !== 2 && layer !== 3) return undefined
  const bitrate = bitrates[`${version === 3 ? 1 : 2}-${layer}`]?.[((bits >>> 12) & 15) - 1]
  if (bitrate === undefined) return undefined
  const rate = sampleRate / (version === 3 ? 1 : version === 2 ? 2 : 4)
  const padding = (bits >>> 9) & 1
  if (layer === 1) return (Math.floor((12_000 * bitrate) / rate) + padding) * 4
  const samples = layer === 3 && version !== 3 ? 576 : 1152
  return Math.floor(((samples / 8) * bitrate * 1000) / rate) + padding
}

/** ISO/IEC 14496-3, 1.A.3.2: 12 bits of sync, layer 0, sampling frequency, then the length in 13 bits. */
function aacFrameLength(header: Buffer): number | undefined {
  if (header.length < 7 || (header.readUInt16BE(0) & 0xfff6) !== 0xfff0) return undefined
  if (((header.readUInt8(2) >> 2) & 15) > 12) return undefined
  const length = (header.readUIntBE(3, 3) >>> 5) & 0x1fff
  return length > 7 ? length : undefined
}

/** ATSC A/52, 5.3 and E.1.2: sync word, then either a code of the length, or the length (bsid above 10). */
function ac3FrameLength(header: Buffer): number | undefined {
  if (header.length < 6 || header.readUInt16BE(0) !== 0x0b77) return undefined
  const bsid = header.readUInt8(5) >> 3
  if (bsid > 16) return undefined
  if (bsid > 10) return ((header.readUInt16BE(2) & 0x7ff) + 1) * 2
  const code = header.readUInt8(4)
  const bitrate = ac3Bitrates[(code & 63) >> 1]
  if (bitrate === undefined) return undefined
  switch (code >> 6) {
    case 0:
      return bitrate * 4
    case 1:
      return (Math.floor((bitrate * 96_000) / 44_100) + (code & 1)) * 2
    case 2:
      return bitrate * 6
    default:
      return undefined
  }
}
