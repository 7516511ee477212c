import { acceptsType, type Preset } from '@millrace/shared/presets/preset.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import type { Upload, Variant } from '@millrace/shared/uploads/upload.ts'
import type { Decoders } from '../decoders/decoders.ts'
import type { RenderImage } from '../decoders/render-image.ts'
import { type ImageKind, isImageKind, isKeptWithoutPicture } from '../formats/image-kind.ts'
import type { OpenedOriginal } from './read-original.ts'
import type { Report } from './report.ts'
import type { WriteVariant } from './write-variant.ts'

/** Errors of a picture that are no fault of the file. */
const pictureErrors: ReadonlySet<string> = new Set(['image_not_supported', 'image_too_large'])

/**
 * Creates the inspection of one file: compare it with its announcement and its preset, read it, and render the variants of
 * an image. Nothing of it is served before all of this is done.
 *
 * @param deps.disabledTypes media types that are stored without being decoded
 */
export function createFileInspector(deps: {
  writeVariant: WriteVariant
  renderImage: RenderImage
  reserveFile: Decoders['reserveFile']
  maxImageBytes: number
  disabledTypes: ReadonlySet<string>
}) {
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
      const inspected = inspectImage(upload, preset, opened, detectedType, report, signal)
      if (!isKeptWithoutPicture(detectedType)) return inspected
      const variants = await inspected.catch((error: unknown) => keepWithoutPicture(error, report))
      // The file was read, and its checksum compared.
      if (variants.length > 0 || report.findings.sha256 !== undefined) return variants
    }
    const { sha256 } = await report.measure('read', () => opened.hash())
    report.findings.sha256 = sha256
    checkSha256(upload, sha256)
    return []
  }

  async function inspectImage(
    upload: Upload,
    preset: Preset,
    opened: OpenedOriginal,
    kind: ImageKind,
    report: Report,
    signal: AbortSignal,
  ): Promise<Variant[]> {
    const { size } = opened
    if (size > deps.maxImageBytes) {
      throw new AppError('image_too_large', {
        message: `The image file has ${size} bytes; the limit for images is ${deps.maxImageBytes}.`,
        limit: deps.maxImageBytes,
      })
    }
    const writes: Promise<Variant>[] = []
    const release = await report.measure('admit', () => deps.reserveFile(size, signal))
    try {
      const { bytes, sha256 } = await report.measure('read', () => opened.readBytes())
      report.findings.sha256 = sha256
      checkSha256(upload, sha256)
      const rendered = await report.measure('render', () =>
        deps.renderImage(
          { kind, bytes, preset },
          {
            signal,
            onInspected: report.add,
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

/** Keeps a file of which no picture can be made, and says so. @throws any other error */
function keepWithoutPicture(error: unknown, report: Report): Variant[] {
  if (!(error instanceof AppError && pictureErrors.has(error.code))) throw error
  report.warn(error.message)
  return []
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
