import type { Findings } from '@millrace/shared/uploads/upload.ts'
import {
  ADTS,
  CustomSource,
  EncodedPacketSink,
  FLAC,
  Input,
  type InputAudioTrack,
  type InputTrack,
  type InputVideoTrack,
  MATROSKA,
  MP3,
  MP4,
  MPEG_TS,
  OGG,
  QTFF,
  WAVE,
  WEBM,
} from 'mediabunny'
import { maxRangeBytes, RangeRefusedError, type ReadFileRange } from './file-ranges.ts'
import { maxPictureBytes, takeKeyFrame } from './key-frame.ts'

/** Without HLS: a playlist names other files. */
const formats = [MP4, QTFF, WEBM, MATROSKA, MP3, WAVE, OGG, FLAC, ADTS, MPEG_TS]

/** A picture of a video or a recording, not decoded yet. */
export type MediaPicture = { from: 'frame' | 'cover'; bytes: Buffer }

/** Where what is found goes, as soon as it is found. So it is kept if the process is killed later. */
export type MediaListener = {
  onFindings(findings: Findings): void
  onPicture(picture: MediaPicture): void
}

/**
 * Reads the metadata of video and audio: duration, size as displayed, turn, codecs, and one picture, which is a key frame of
 * a video or the embedded cover.
 *
 * A damaged file is no error here. What could not be read is a warning.
 *
 * @param file.size in bytes
 * @param options.takesFrame whether a video's frame is wanted. Otherwise a video gives its cover, if it has one
 */
export async function readMedia(
  file: { size: number; readRange: ReadFileRange },
  { takesFrame }: { takesFrame: boolean },
  { onFindings, onPicture }: MediaListener,
): Promise<void> {
  const input = new Input({ formats, source: openSource(file) })
  const warn = (what: string, error?: unknown) => onFindings({ warnings: [`${what} ${reasonOf(error)}`] })

  /** @returns undefined after a warning */
  async function attempt<Result>(what: string, read: () => Promise<Result>): Promise<Result | undefined> {
    try {
      return await read()
    } catch (error) {
      warn(what, error)
      return undefined
    }
  }

  try {
    const tracks = await attempt('The duration and the codecs could not be read:', () => readTracks(input))
    if (!tracks) return
    const { video, audio } = tracks
    const [videoCodec, audioCodec] = [await codecOf(video), await codecOf(audio)]
    onFindings({ ...(videoCodec && { videoCodec }), ...(audioCodec && { audioCodec }) })
    const metadataSeconds = await input
      .getDurationFromMetadata(undefined, { skipLiveWait: true })
      .catch(() => null)
    const knownMs = toMs(metadataSeconds)
    if (knownMs !== undefined) onFindings({ durationMs: knownMs })
    if (video) {
      const size = await attempt('The size of the video could not be read:', () => readSize(video))
      if (size) onFindings(size)
      await attempt('No picture of the video could be taken:', async () => {
        const frame = takesFrame ? await takeKeyFrame(video, metadataSeconds) : undefined
        if (frame) onPicture({ from: 'frame', bytes: frame })
        else await takeCover(input, onPicture)
      })
    } else {
      await attempt('The cover could not be read:', () => takeCover(input, onPicture))
    }
    if (knownMs !== undefined) {
      // If the end cannot be read for another reason, the file is not known to be cut.
      const isCut = await lacksLastPacket(input, [video, audio]).catch(() => false)
      if (isCut) {
        onFindings({
          warnings: ['The file was cut: its index lists frames or sound that it does not contain.'],
        })
      }
    }
    if (knownMs === undefined) {
      const seconds = await attempt('The duration could not be read:', () =>
        computeDuration(input, video ?? audio),
      )
      const durationMs = toMs(seconds)
      if (durationMs !== undefined) onFindings({ durationMs })
      else if (seconds !== undefined) warn('The duration could not be read:')
    }
  } finally {
    input.dispose()
  }
}

function openSource({ size, readRange }: { size: number; readRange: ReadFileRange }): CustomSource {
  const options = {
    getSize: () => size,
    read: (start: number, end: number) => readPieces(readRange, start, end),
    // Each read is a request to S3.
    prefetchProfile: 'network' as const,
    // Not in mediabunny's types. A read ahead that is refused would end the process otherwise, although nobody needs it.
    handleUnhandledError: () => {},
  }
  return new CustomSource(options)
}

function readPieces(readRange: ReadFileRange, start: number, end: number): Buffer {
  if (end - start <= maxRangeBytes) return readRange(start, end)
  const pieces: Buffer[] = []
  for (let at = start; at < end; at += maxRangeBytes) {
    pieces.push(readRange(at, Math.min(end, at + maxRangeBytes)))
  }
  return Buffer.concat(pieces)
}

/** The tracks that players choose. Their codecs are the file's. */
async function readTracks(
  input: Input,
): Promise<{ video: InputVideoTrack | null; audio: InputAudioTrack | null }> {
  const video = await input.getPrimaryVideoTrack()
  const audio = await input.getPrimaryAudioTrack()
  if (!video && !audio) throw new Error('The file has neither video nor audio.')
  return { video, audio }
}

/** Returns the size as displayed, and by how much players turn the video. */
async function readSize(video: InputVideoTrack): Promise<Findings> {
  const width = Math.round(await video.getDisplayWidth())
  const height = Math.round(await video.getDisplayHeight())
  if (!(width >= 1 && height >= 1)) throw new Error('The video has no size.')
  return { width, height, rotation: await video.getRotation() }
}

/**
 * Returns the codec of a track: by its usual name or, if that is unknown, as the container names it.
 * @returns undefined if the container has no name for it either
 */
async function codecOf(track: InputTrack | null): Promise<string | undefined> {
  if (!track) return undefined
  const codec = (await track.getCodec()) ?? (await track.getInternalCodecId())
  return typeof codec === 'string' && /^[\x20-\x7e]{1,64}$/.test(codec) ? codec.trim() : undefined
}

/** Passes the embedded picture on, preferably the front cover. Not every file has one. */
async function takeCover(input: Input, onPicture: MediaListener['onPicture']): Promise<void> {
  const { images = [] } = await input.getMetadataTags()
  const cover = images.find(({ kind }) => kind === 'coverFront') ?? images[0]
  if (!cover || cover.data.length === 0) return
  if (cover.data.length > maxPictureBytes) throw new Error('The cover is too large.')
  onPicture({ from: 'cover', bytes: Buffer.from(cover.data) })
}

/**
 * Whether an MP4 or QuickTime file ends before the last packet of one of its tracks. Other formats have no index of all
 * packets, so the whole file would have to be read.
 */
async function lacksLastPacket(input: Input, tracks: (InputTrack | null)[]): Promise<boolean> {
  const format = await input.getFormat()
  if (format !== MP4 && format !== QTFF) return false
  for (const track of tracks) {
    if (!track) continue
    const packets = new EncodedPacketSink(track)
    const isEmpty = (await packets.getFirstPacket({ metadataOnly: true })) === null
    if (!isEmpty && (await packets.getPacket(Number.POSITIVE_INFINITY)) === null) return true
  }
  return false
}

/** Some files do not state their duration: it is where the last packet ends, less where the first one starts. */
async function computeDuration(input: Input, track: InputTrack | null): Promise<number> {
  const end = await input.computeDuration(undefined, { skipLiveWait: true })
  const start = track ? await track.getFirstTimestamp() : 0
  return end - Math.max(0, start)
}

function toMs(seconds: number | null | undefined): number | undefined {
  if (seconds === null || seconds === undefined) return undefined
  const ms = Math.round(seconds * 1000)
  return ms >= 0 && Number.isSafeInteger(ms) ? ms : undefined
}

function reasonOf(error: unknown): string {
  return error instanceof RangeRefusedError
    ? 'too much of the file would have to be read.'
    : 'the file is damaged, or unusual.'
}
