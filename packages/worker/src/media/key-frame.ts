import {
  BufferTarget,
  EncodedPacketSink,
  EncodedVideoPacketSource,
  type InputVideoTrack,
  MkvOutputFormat,
  Output,
} from 'mediabunny'
import { type FrameGeometry, writeVideoFrame } from '../headers/video-frame.ts'

/** Limit of a picture that is taken out of a file, in bytes. A key frame of 8K has some 5 MB. */
export const maxPictureBytes = 16 * 1024 ** 2

/** The first frame is often black, so the poster is from a tenth of the video, but not from far inside. In seconds. */
const posterShare = 0.1
const latestPosterSeconds = 5
/** For a video that does not state its duration, in seconds. */
const posterSecondsOtherwise = 1

/**
 * Takes one key frame out of a video, which shows something of it.
 *
 * A key frame can be decoded without other frames. It is put into a Matroska file of its own, so the program that decodes it
 * gets nothing else of the client's file: no other track, no index, no reference.
 *
 * @param durationSeconds null if it is unknown
 * @returns a file of the kind `videoFrameKind`; undefined if the video has no key frame, or its codec is unknown
 * @throws Error if the frame is too large, or the video is damaged
 */
export async function takeKeyFrame(
  video: InputVideoTrack,
  durationSeconds: number | null,
): Promise<Buffer | undefined> {
  const codec = await video.getCodec()
  const decoderConfig = codec && (await video.getDecoderConfig())
  if (!codec || !decoderConfig) return undefined
  const packets = new EncodedPacketSink(video)
  const seconds =
    durationSeconds === null
      ? posterSecondsOtherwise
      : Math.min(durationSeconds * posterShare, latestPosterSeconds)
  const options = { verifyKeyPackets: true }
  const packet =
    (await packets.getKeyPacket((await video.getFirstTimestamp()) + seconds, options)) ??
    (await packets.getFirstKeyPacket(options))
  if (!packet) return undefined
  if (packet.data.length > maxPictureBytes) throw new Error('The key frame is too large.')
  const target = new BufferTarget()
  const output = new Output({ format: new MkvOutputFormat(), target })
  const source = new EncodedVideoPacketSource(codec)
  output.addVideoTrack(source)
  await output.start()
  await source.add(packet.clone({ timestamp: 0, duration: 1 }), { decoderConfig })
  await output.finalize()
  if (!target.buffer) throw new Error('The frame was not written.')
  return writeVideoFrame(await geometryOf(video), new Uint8Array(target.buffer))
}

async function geometryOf(video: InputVideoTrack): Promise<FrameGeometry> {
  const { matrix } = await video.getColorSpace()
  return {
    width: Math.round(await video.getSquarePixelWidth()),
    height: Math.round(await video.getSquarePixelHeight()),
    rotation: await video.getRotation(),
    isMirrored: await video.getFlip(),
    lacksMatrix: matrix === undefined || matrix === null,
  }
}
