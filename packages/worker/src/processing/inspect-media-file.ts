import type { Preset } from '@millrace/shared/presets/preset.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import type { Findings, Variant } from '@millrace/shared/uploads/upload.ts'
import type { InspectedMedia, InspectMedia } from '../decoders/inspect-media.ts'
import { type ImageKind, isImageKind } from '../formats/image-kind.ts'
import { videoFrameKind } from '../headers/video-frame-kind.ts'
import { detectMediaType, typeHeadBytes } from '../types/detect-type.ts'
import type { OpenedOriginal } from './read-original.ts'
import type { Report } from './report.ts'

/** An image to render: a whole file, or a picture of another file. */
export type ImageFile = {
  kind: ImageKind
  /** In bytes. */
  size: number
  readBytes(): Promise<Buffer>
  /** Receives what its header says. */
  onInspected(findings: Findings): void
}

/**
 * Creates the inspection of a video or recording: its metadata, and variants of one picture, which is a frame of the video
 * or the cover.
 *
 * The file itself is not decoded. So what cannot be read of it is a warning, and the file stays good.
 *
 * @param deps.disabledTypes media types that are not decoded, also not as covers
 */
export function createMediaFileInspector(deps: {
  inspectMedia: InspectMedia
  disabledTypes: ReadonlySet<string>
}) {
  /**
   * @param report receives the findings
   * @param render renders the variants of a picture and writes them
   * @returns the variants, which are in S3; none if there is no picture
   * @throws any error is retried
   */
  return async function inspectMediaFile(
    { kind, preset, opened }: { kind: string; preset: Preset; opened: OpenedOriginal },
    report: Report,
    signal: AbortSignal,
    render: (picture: ImageFile) => Promise<Variant[]>,
  ): Promise<Variant[]> {
    const { size, readRange } = opened
    const { findings, picture } = await report.measure('inspect', async (use) => {
      const {
        cpuMs,
        tools = {},
        ...found
      } = await deps.inspectMedia({ kind, size, preset, readRange }, signal)
      if (cpuMs !== undefined) use({ cpuMs })
      report.addTools(tools)
      return found
    })
    report.add(findings)
    if (!picture) return []
    try {
      return await render(await imageOf(picture))
    } catch (error) {
      if (!(error instanceof AppError) || error.retryable) throw error
      const name = picture.from === 'frame' ? 'A frame of the video' : 'The cover'
      report.warn(`${name} could not be shown: ${error.message}`)
      return []
    }
  }

  /** @throws AppError `image_not_supported` if a cover is of another kind */
  async function imageOf({ from, bytes }: NonNullable<InspectedMedia['picture']>): Promise<ImageFile> {
    const kind = from === 'frame' ? videoFrameKind : await detectMediaType(bytes.subarray(0, typeHeadBytes))
    if (!isImageKind(kind) || deps.disabledTypes.has(kind)) throw new AppError('image_not_supported')
    return {
      kind,
      size: bytes.length,
      readBytes: async () => bytes,
      // The size of a frame is that of the video, and a cover has nothing to do with the size of a recording.
      onInspected: () => {},
    }
  }
}
