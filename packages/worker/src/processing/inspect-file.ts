import { readFocus } from '@millrace/shared/presets/focus.ts'
import { acceptsType, type Preset } from '@millrace/shared/presets/preset.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import type { Arrival, Upload, Variant } from '@millrace/shared/uploads/upload.ts'
import type { Decoders } from '../decoders/decoders.ts'
import type { InspectMedia } from '../decoders/inspect-media.ts'
import type { RenderImage } from '../decoders/render-image.ts'
import { isImageKind, isKeptWithoutPicture } from '../formats/image-kind.ts'
import { isMediaKind } from '../media/media-kind.ts'
import type { OpenScan } from '../scanning/scanning.ts'
import { createMediaFileInspector, type ImageFile } from './inspect-media-file.ts'
import type { ChunkSink, OpenedOriginal } from './read-original.ts'
import type { Report } from './report.ts'
import { reportRendering } from './report-rendering.ts'
import type { WriteVariant } from './write-variant.ts'

/** Errors of a picture that are no fault of the file. */
const pictureErrors: ReadonlySet<string> = new Set(['image_not_supported', 'image_too_large'])

/**
 * Creates the inspection of one file: compare it with its announcement and its preset, read it, have it scanned, and render
 * the variants of an image, or of a picture of a video or recording. Nothing of it is served before all of this is done.
 *
 * @param deps.openScan scans files while they are read; undefined: they are not scanned
 * @param deps.disabledTypes media types that are stored without being decoded
 */
export function createFileInspector(deps: {
  writeVariant: WriteVariant
  renderImage: RenderImage
  inspectMedia: InspectMedia
  reserveFile: Decoders['reserveFile']
  maxImageBytes: number
  disabledTypes: ReadonlySet<string>
  openScan: OpenScan | undefined
}) {
  const inspectMediaFile = createMediaFileInspector(deps)

  /**
   * @param file.arrival the bytes
   * @param file.variantVersion a part of the variants' keys
   * @param report receives the findings
   * @returns the variants, which are in S3
   * @throws AppError that is final if the file is at fault; any other error is retried
   */
  return async function inspectFile(
    file: ArrivedFile & { variantVersion: string },
    preset: Preset,
    opened: OpenedOriginal,
    report: Report,
    signal: AbortSignal,
  ): Promise<Variant[]> {
    const { upload } = file
    const { detectedType, typeFoundBy } = opened
    if (detectedType) report.findings.detectedType = detectedType
    if (typeFoundBy) report.foundTypeBy(typeFoundBy)
    report.require('size', () => checkSize(upload, opened))
    if (preset.accept || upload.intent.accept) report.require('type', () => checkType(preset, upload, opened))
    if (isImageKind(detectedType) && !deps.disabledTypes.has(detectedType)) {
      const image: ImageFile = {
        kind: detectedType,
        size: opened.size,
        async readBytes() {
          const read = await readWhole(file, opened, report, signal, (sink) => opened.readBytes(sink))
          return read.bytes
        },
        onInspected: report.add,
      }
      const inspected = inspectImage(file, preset, image, report, signal)
      if (!isKeptWithoutPicture(detectedType)) return inspected
      const variants = await inspected.catch((error: unknown) => keepWithoutPicture(error, report))
      // The file was read, and its checksum compared.
      if (variants.length > 0 || report.findings.sha256 !== undefined) return variants
    }
    await readWhole(file, opened, report, signal, (sink) => opened.hash(sink))
    if (!isMediaKind(detectedType) || deps.disabledTypes.has(detectedType)) return []
    return inspectMediaFile({ kind: detectedType, preset, opened }, report, signal, (picture) =>
      inspectImage(file, preset, picture, report, signal),
    )
  }

  async function inspectImage(
    { upload, variantVersion }: { upload: Upload; variantVersion: string },
    preset: Preset,
    { kind, size, readBytes, onInspected }: ImageFile,
    report: Report,
    signal: AbortSignal,
  ): Promise<Variant[]> {
    report.addLimits({ maxImageBytes: deps.maxImageBytes })
    report.require('image-bytes', () => checkImageBytes(size, deps.maxImageBytes))
    const writes: Promise<Variant>[] = []
    const release = await report.measure('admit', () => deps.reserveFile(size, signal))
    try {
      const bytes = await readBytes()
      const rendered = await report.measure('render', (use) => {
        const renderImage = reportRendering(deps.renderImage, report, use)
        return renderImage(
          { kind, bytes, preset, focus: readFocus(upload.intent.metadata) },
          {
            signal,
            onInspected,
            emit: (variant) => {
              const write = deps.writeVariant(upload, variantVersion, variant, signal)
              // Awaited below. Without a handler until then, a failure would be an unhandled rejection.
              write.catch(() => {})
              writes.push(write)
            },
          },
        )
      })
      report.add(rendered)
    } finally {
      release()
    }
    return report.measure('write', async (use) => {
      const variants = await Promise.all(writes)
      use({ bytes: variants.reduce((sum, variant) => sum + variant.size, 0) })
      return variants
    })
  }

  /**
   * Reads a file once, for its SHA-256 and for the scan. After it, the file may be decoded.
   * @param read reads the file, and gives its bytes to a sink
   */
  async function readWhole<Read extends { sha256: string }>(
    { upload, arrival }: ArrivedFile,
    { size, detectedType }: OpenedOriginal,
    report: Report,
    signal: AbortSignal,
    read: (sink?: ChunkSink) => Promise<Read>,
  ): Promise<Read> {
    const { openScan } = deps
    const scan =
      openScan &&
      (await report.measure('scan-wait', () =>
        openScan({ upload, arrival, size, detectedType }, report.check, signal),
      ))
    try {
      const result = await report.measure('read', (use) => {
        use({ bytes: size })
        return read(scan?.write)
      })
      report.findings.sha256 = result.sha256
      checkSha256(upload, result.sha256, report)
      if (scan) await report.measure('scan', () => scan.finish(result.sha256))
      return result
    } finally {
      scan?.close()
    }
  }
}

/** Keeps a file of which no picture can be made, and says so. @throws any other error */
function keepWithoutPicture(error: unknown, report: Report): Variant[] {
  if (!(error instanceof AppError && pictureErrors.has(error.code))) throw error
  report.warn(error.message)
  return []
}

export type InspectFile = ReturnType<typeof createFileInspector>

/** An upload and its bytes. */
type ArrivedFile = { upload: Upload; arrival: Arrival }

function checkSize({ intent }: Upload, { size }: OpenedOriginal): void {
  if (size === intent.size) return
  throw new AppError('size_mismatch', {
    message: `The file that arrived has ${size} bytes; ${intent.size} were announced.`,
  })
}

/** Compares the type with what the preset accepts, and with what the upload's token accepts. */
function checkType(preset: Preset, { intent }: Upload, { detectedType }: OpenedOriginal): void {
  for (const list of [preset, intent]) {
    if (acceptsType(list, detectedType)) continue
    throw new AppError('type_not_allowed', {
      message: `The file type is ${detectedType ?? 'unknown'}; accepted: ${list.accept?.join(', ')}.`,
    })
  }
}

function checkSha256({ intent }: Upload, computed: string, report: Report): void {
  const { declaredSha256 } = intent
  if (declaredSha256 === undefined) return
  report.require('sha256', () => {
    if (declaredSha256 === computed) return
    throw new AppError('checksum_mismatch', {
      message: `The file that arrived has the SHA-256 ${computed}; ${declaredSha256} was announced.`,
    })
  })
}

function checkImageBytes(size: number, limit: number): void {
  if (size <= limit) return
  throw new AppError('image_too_large', {
    message: `The image file has ${size} bytes; the limit for images is ${limit}.`,
    limit,
  })
}
