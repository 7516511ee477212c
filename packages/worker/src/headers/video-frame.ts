import Type, { type Static } from 'typebox'
import { Compile } from 'typebox/compile'

/** How a decoded frame becomes an upright picture. */
export const FrameGeometry = Type.Object({
  /** Size in square pixels before it is turned. */
  width: Type.Integer({ minimum: 1, maximum: 65_535 }),
  height: Type.Integer({ minimum: 1, maximum: 65_535 }),
  /** Degrees clockwise. */
  rotation: Type.Union([Type.Literal(0), Type.Literal(90), Type.Literal(180), Type.Literal(270)]),
  /** Whether it is mirrored left to right after it is turned. */
  isMirrored: Type.Boolean(),
  /** Whether the video says nothing of its colour matrix, as many do. */
  lacksMatrix: Type.Boolean(),
})
export type FrameGeometry = Static<typeof FrameGeometry>
const frameGeometry = Compile(FrameGeometry)

/** Size of the length before the geometry, in bytes. */
const lengthBytes = 4

/**
 * Returns a file of the kind `videoFrameKind`: the length of a JSON text, the text, a Matroska file.
 * @param matroska with the one frame
 */
export function writeVideoFrame(geometry: FrameGeometry, matroska: Uint8Array): Buffer {
  const text = Buffer.from(JSON.stringify(geometry))
  const length = Buffer.alloc(lengthBytes)
  length.writeUInt32BE(text.length)
  return Buffer.concat([length, text, matroska])
}

/** @returns undefined if the file was not written by `writeVideoFrame` */
export function readVideoFrame(file: Buffer): { geometry: FrameGeometry; matroska: Buffer } | undefined {
  try {
    const end = lengthBytes + file.readUInt32BE()
    const geometry: unknown = JSON.parse(file.toString('utf8', lengthBytes, end))
    return frameGeometry.Check(geometry) ? { geometry, matroska: file.subarray(end) } : undefined
  } catch {
    return undefined
  }
}

/** Returns the size of the upright picture, in pixels. */
export function uprightSize({ width, height, rotation }: FrameGeometry): { width: number; height: number } {
  return rotation % 180 === 0 ? { width, height } : { width: height, height: width }
}
