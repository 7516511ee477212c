import { acceptsType, type Preset } from '@millrace/shared/presets/preset.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import type { Upload, Variant } from '@millrace/shared/uploads/upload.ts'
import type { Decoders } from '../decoders/decoders.ts'
import type { InspectMedia } from '../decoders/inspect-media.ts'
import type { RenderImage } from '../decoders/render-image.ts'
import { isImageKind } from '../formats/image-kind.ts'
import { isMediaKind } from '../media/media-kind.ts'
import { createMediaFileInspector, type ImageFile } from './inspect-media-file.ts'
import type { OpenedOriginal } from './read-original.ts'
import type { Report } from './report.ts'
import type { WriteVariant } from './write-variant.ts'

/**
 * Creates the inspection of one file: compare it with its announcement and its preset, read it, and render the variants of
 * an image, or of a picture of a video or recording. Nothing of it is served before all of this is done.
 *
 * @param deps.disabledTypes media types that are stored without being decoded
 */
export function createFileInspector(deps: {
  writeVariant: WriteVariant
  renderImage: RenderImage
  inspectMedia: InspectMedia
  reserveFile: Decoders['reserveFile']
  maxImageBytes: number
  disabledTypes: ReadonlySet<string>
}) {
  const inspectMediaFile = createMediaFileInspector(deps)

  /**
   * @param report receives the findings
   * @returns the variants, which are in S3
   * @throws AppError that is final if the file is at fault; any other error is retried
   */
  return async function inspectFile(
    upload: Upload,
    preset: Preset,
    opened: OpenedOriginal,
    report: Report,
    signal: AbortSignal,
  ): Promise<Variant[]> {
    const { detectedType } = opened
    if (detectedType) report.findings.detectedType = detectedType
    checkSize(upload, opened)
    checkType(preset, opened)
    if (isImageKind(detectedType) && !deps.disabledTypes.has(detectedType)) {
      const image: ImageFile = {
        kind: detectedType,
        size: opened.size,
        async readBytes() {
          const { bytes, sha256 } = await report.measure('read', () => opened.readBytes())
          report.findings.sha256 = sha256
          checkSha256(upload, sha256)
          return bytes
        },
        onInspected: report.add,
      }
      return inspectImage(upload, preset, image, report, signal)
    }
    const { sha256 } = await report.measure('read', () => opened.hash())
    report.findings.sha256 = sha256
    checkSha256(upload, sha256)
    if (!isMediaKind(detectedType) || deps.disabledTypes.has(detectedType)) return []
    return inspectMediaFile({ kind: detectedType, preset, opened }, report, signal, (picture) =>
      inspectImage(upload, preset, picture, report, signal),
    )
  }

  async function inspectImage(
    upload: Upload,
    preset: Preset,
    { kind, size, readBytes, onInspected }: ImageFile,
    report: Report,
    signal: AbortSignal,
  ): Promise<Variant[]> {
    if (size > deps.maxImageBytes) {
      throw new AppError('image_too_large', {
        message: `The image file has ${size} bytes; the limit for images is ${deps.maxImageBytes}.`,
        limit: deps.maxImageBytes,
      })
    }
    const writes: Promise<Variant>[] = []
    const release = await report.measure('admit', () => deps.reserveFile(size, signal))
    try {
      const bytes = await readBytes()
      const rendered = await report.measure('render', () =>
        deps.renderImage(
          { kind, bytes, preset },
          {
            signal,
            onInspected,
            emit: (variant) => {
              const write = deps.writeVariant(upload, preset.name, variant, signal)
              // Awaited below. Without a handler until then, a failure would be an unhandled rejection.
              write.catch(() => {})
              writes.push(write)
            },
          },
        ),
      )
      report.add(rendered)
    } finally {
      release()
    }
    return report.measure('write', () => Promise.all(writes))
  }
}

export type InspectFile = ReturnType<typeof createFileInspector>

function checkSize({ intent }: Upload, { size }: OpenedOriginal): void {
  if (size === intent.size) return
  throw new AppError('size_mismatch', {
    message: `The file that arrived has ${size} bytes; ${intent.size} were announced.`,
  })
}

function checkType(preset: Preset, { detectedType }: OpenedOriginal): void {
  if (acceptsType(preset, detectedType)) return
  throw new AppError('type_not_allowed', {
    message: `The file type is ${detectedType ?? 'unknown'}; accepted: ${preset.accept?.join(', ')}.`,
  })
}

function checkSha256({ intent }: Upload, computed: string): void {
  const { declaredSha256 } = intent
  if (declaredSha256 === undefined || declaredSha256 === computed) return
  throw new AppError('checksum_mismatch', {
    message: `The file that arrived has the SHA-256 ${computed}; ${declaredSha256} was announced.`,
  })
}
