import { filenameOfUrl, withShortenedFilename } from '@millrace/shared/imports/source-file.ts'
import { sourceUrlMaxLength, sourceUrlProblem } from '@millrace/shared/imports/source-url.ts'
import type { ImportQueue } from '@millrace/shared/jobs/import-upload-job.ts'
import { defaultPreset } from '@millrace/shared/presets/preset.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import { storedType } from '@millrace/shared/uploads/content-type.ts'
import type { UploadIntent, UploadMetadata, UploadState } from '@millrace/shared/uploads/upload.ts'
import { checkTokenImport } from '../tenants/token-limits.ts'
import type { AdmitUpload, UploadHolder } from './admit-upload.ts'
import { type KeyedId, keyedAgeMs } from './idempotency-key.ts'

/** How long an import may wait for a slot and for its source, in ms. */
export const importLifeMs = 24 * 60 * 60 * 1000

/** A file that a worker downloads, as the client declared it. `size` in bytes. */
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

/**
 * An admitted import. It expires if its bytes have not arrived by `expiresAt` (ISO 8601). Bytes that have arrived do not
 * expire.
 */
export type StartedImport = {
  id: string
  state: UploadState
  expiresAt?: string
  transport: { kind: 'import' }
}

/**
 * Admits imports. The API sends no request to the source. The worker checks the addresses of its host when it
 * connects.
 *
 * @param deps.allowedPorts the ports that a source may have
 */
export function createStartImport(deps: {
  admitUpload: AdmitUpload
  imports: ImportQueue
  allowedPorts: readonly number[]
}) {
  const { admitUpload, imports, allowedPorts } = deps

  /**
   * Admits an import and adds its job. If Redis added the job although the call failed, the job finds no
   * record and ends.
   *
   * @param keyed the id of the request's Idempotency-Key. The job has the same id, so that a repeated request adds none
   * @throws AppError `invalid_request` if the URL is not allowed, `token_limit` if a token needs the size, and as `admitUpload` does
   */
  return async function startImport(
    holder: UploadHolder,
    request: ImportRequest,
    keyed?: KeyedId,
  ): Promise<StartedImport> {
    const { sourceUrl, filename, contentType, size, traceparent } = request
    const url = URL.parse(sourceUrl)
    const problem = sourceUrlProblem(url, allowedPorts)
    if (!url || problem) throw sourceUrlError(problem ?? 'must be an absolute URL')
    if (url.href.length > sourceUrlMaxLength) {
      throw sourceUrlError(
        `must have at most ${sourceUrlMaxLength} characters, percent-encoded`,
        sourceUrlMaxLength,
      )
    }
    checkTokenImport(holder.caller, size)
    const maxFileBytes = holder.caller?.limits?.maxFileBytes
    const source = {
      url: url.href,
      ...(filename !== undefined && { filename }),
      ...(contentType !== undefined && { contentType: storedType(contentType) }),
      ...(size !== undefined && { size }),
      ...(maxFileBytes !== undefined && { maxBytes: maxFileBytes }),
    }
    return admitUpload(holder, intentOf(request, url), {
      keyed,
      lifeMs: keyedAgeMs(keyed) + importLifeMs,
      recordFields: () => ({ source }),
      async begin({ id, state, expiresAt }) {
        await imports.add({ owner: holder.owner, id, ...(traceparent && { traceparent }) })
        return { id, state, expiresAt, transport: { kind: 'import' } }
      },
    })
  }
}

export type StartImport = ReturnType<typeof createStartImport>

/** Returns the intent as far as it is known before the source has responded. An unknown size is 0. */
function intentOf(request: ImportRequest, url: URL): UploadIntent {
  const { filename, contentType, size, preset, sha256, metadata, traceparent } = request
  const intent = {
    filename: filename ?? filenameOfUrl(url),
    contentType: storedType(contentType),
    size: size ?? 0,
    preset: preset ?? defaultPreset.name,
    ...(metadata && { metadata }),
    ...(sha256 && { declaredSha256: sha256.toLowerCase() }),
    ...(traceparent && { traceparent }),
  }
  return filename === undefined ? withShortenedFilename(intent) : intent
}

function sourceUrlError(problem: string, limit?: number): AppError {
  return new AppError('invalid_request', {
    message: `sourceUrl ${problem}.`,
    fields: [{ field: 'sourceUrl', message: problem }],
    ...(limit !== undefined && { limit }),
  })
}
