import { declaredType, namedByUrl, withFittingName } from '@millrace/shared/imports/source-file.ts'
import { sourceUrlProblem } from '@millrace/shared/imports/source-url.ts'
import type { ImportQueue } from '@millrace/shared/jobs/import-upload-job.ts'
import { defaultPreset } from '@millrace/shared/presets/preset.ts'
import type { Quota } from '@millrace/shared/quotas/quota.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import type { UploadIntent, UploadMetadata } from '@millrace/shared/uploads/upload.ts'
import { newUploadId, uploadIdTimeMs } from '@millrace/shared/uploads/upload-id.ts'
import type { UploadRecords } from '@millrace/shared/uploads/upload-records.ts'
import type { CheckIntent } from './check-intent.ts'

/** How long an import may wait for its turn and for its source, in ms. */
export const importLifeMs = 24 * 60 * 60 * 1000

/** A file that a client wants to have fetched, and what it knows of it. Sizes in bytes. */
export type ImportRequest = {
  sourceUrl: string
  filename?: string
  contentType?: string
  size?: number
  preset?: string
  sha256?: string
  metadata?: UploadMetadata
  traceparent?: string
}

/** An import that was taken down. Its bytes are awaited until `expiresAt` (ISO 8601). */
export type StartedImport = {
  id: string
  state: 'awaiting'
  expiresAt: string
  transport: { kind: 'import' }
}

/**
 * Takes down a file that a worker is to fetch. Nothing is asked of the source here: whom its name leads to is
 * looked at where it is connected to.
 *
 * @param deps.allowedPorts of sources
 */
export function createStartImport(deps: {
  records: UploadRecords
  checkIntent: CheckIntent
  quota: Quota
  imports: ImportQueue
  allowedPorts: readonly number[]
}) {
  const { records, checkIntent, quota, imports, allowedPorts } = deps

  /**
   * The record is kept before the job is added. Should this instance die in between, nobody was told the id,
   * and the record expires.
   *
   * @throws AppError `invalid_request` where the URL is none that files are fetched from, and as `startUpload`
   */
  return async function startImport(owner: string, asked: ImportRequest): Promise<StartedImport> {
    const { sourceUrl, filename, contentType, size } = asked
    const url = URL.parse(sourceUrl)
    const problem = sourceUrlProblem(url, allowedPorts)
    if (!url || problem) throw refusal(problem ?? 'is no URL')
    const intent = intentOf(asked, url)
    checkIntent(intent)
    const address = { owner, id: newUploadId() }
    const startedAtMs = uploadIdTimeMs(address.id)
    const expiresAtMs = startedAtMs + importLifeMs
    const startedAt = new Date(startedAtMs).toISOString()
    const expiresAt = new Date(expiresAtMs).toISOString()
    await quota.reserve(address, intent.size, expiresAtMs)
    try {
      await records.create({
        ...address,
        state: 'awaiting',
        intent,
        source: {
          url: url.href,
          ...(filename !== undefined && { filename }),
          ...(contentType !== undefined && { contentType }),
          ...(size !== undefined && { size }),
        },
        findings: {},
        variants: [],
        createdAt: startedAt,
        updatedAt: startedAt,
        expiresAt,
      })
      await imports.add({ ...address, ...(asked.traceparent && { traceparent: asked.traceparent }) })
    } catch (error) {
      await records.forget(address)
      await quota.cancel(address)
      throw error
    }
    return { id: address.id, state: 'awaiting', expiresAt, transport: { kind: 'import' } }
  }
}

export type StartImport = ReturnType<typeof createStartImport>

/** What is known before the source has answered. Unknown sizes are 0. */
function intentOf(asked: ImportRequest, url: URL): UploadIntent {
  const { filename, contentType, size, preset, sha256, metadata, traceparent } = asked
  const intent = {
    filename: filename ?? namedByUrl(url),
    contentType: contentType ?? declaredType(undefined),
    size: size ?? 0,
    preset: preset ?? defaultPreset.name,
    ...(metadata && { metadata }),
    ...(sha256 && { declaredSha256: sha256 }),
    ...(traceparent && { traceparent }),
  }
  return filename === undefined ? withFittingName(intent) : intent
}

function refusal(problem: string): AppError {
  return new AppError('invalid_request', {
    message: `sourceUrl ${problem}.`,
    fields: [{ field: 'sourceUrl', message: problem }],
  })
}
