import { cleanFilename, declaredType, withShortenedFilename } from '@millrace/shared/imports/source-file.ts'
import type { ImportUploadJob } from '@millrace/shared/jobs/import-upload-job.ts'
import { originalKey } from '@millrace/shared/ledger/object-keys.ts'
import type { FinishErasure } from '@millrace/shared/lifecycle/finish-erasure.ts'
import type { IsErased } from '@millrace/shared/lifecycle/is-erased.ts'
import type { ReceiveUpload } from '@millrace/shared/lifecycle/receive-upload.ts'
import type { AbortMultipartUploads } from '@millrace/shared/parts/abort-multipart-uploads.ts'
import type { StoreOriginal } from '@millrace/shared/parts/store-original.ts'
import type { Quota } from '@millrace/shared/quotas/quota.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import { maxFileBytesName, tooLarge } from '@millrace/shared/uploads/file-errors.ts'
import type { Arrival, Upload, UploadIntent, UploadSource } from '@millrace/shared/uploads/upload.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import type { UploadRecords } from '@millrace/shared/uploads/upload-records.ts'
import type { Attempt } from '../processing/process-upload.ts'
import { type FetchedSource, type FetchSource, unavailable } from './fetch-source.ts'
import { type FinishImport, isFinalImportError } from './finish-import.ts'
import type { TellImport } from './tell-import.ts'

/** How often a running import checks whether its upload was erased, in ms. */
const erasedCheckMs = 1_000

/**
 * Creates the handler of `import-upload` jobs. It streams a source's file into S3 and records its arrival. From there on,
 * an import is processed like any other upload.
 *
 * find → open source → reserve quota → stream into S3 → receive
 *
 * After a crash at any point, the upload is still `awaiting`, and the next attempt starts again.
 *
 * @param deps.maxUploadBytes the size limit of a file, in bytes
 * @param deps.timeoutMs timeout of the whole download, in ms
 */
export function createImportUpload(deps: {
  records: UploadRecords
  receiveUpload: ReceiveUpload
  isErased: IsErased
  finishErasure: FinishErasure
  abortMultipartUploads: AbortMultipartUploads
  quota: Quota
  fetchSource: FetchSource
  storeOriginal: StoreOriginal
  finishImport: FinishImport
  tellImport: TellImport
  maxUploadBytes: number
  timeoutMs: number
}) {
  const {
    records,
    receiveUpload,
    isErased,
    finishErasure,
    quota,
    fetchSource,
    storeOriginal,
    maxUploadBytes,
  } = deps

  /** @throws errors that are retried. After a final error, the upload is finished as `rejected` instead */
  return async function importUpload(job: ImportUploadJob, { log, signal }: Attempt): Promise<void> {
    // An earlier attempt may have crashed after the last byte, or after it recorded an outcome, or between two parts.
    const received = await receiveUpload(job)
    if (received) return deps.tellImport(received.upload)
    await deps.abortMultipartUploads(originalKey(job))
    const found = await records.find(job)
    const source = found?.upload.state === 'awaiting' ? found.upload.source : undefined
    if (!found || !source) {
      log.info({ event: 'import-superseded' }, 'nothing to import')
      return
    }
    const startedAtMs = performance.now()
    const abort = abortConditions(job, signal)
    let arrival: Arrival
    try {
      arrival = await fetchInto(found.upload, source, abort.signal)
      const ms = Math.round(performance.now() - startedAtMs)
      log.info({ event: 'imported', bytes: arrival.size, ms }, 'imported')
    } catch (thrown) {
      const error = abort.signal.aborted ? abort.signal.reason : thrown
      if (signal.aborted) throw error
      if (await isErased(job)) {
        // Erases the bytes that were stored after the upload was erased.
        await finishErasure(job)
        return
      }
      if (!isFinalImportError(error)) throw error
      await deps.finishImport(job, 'rejected', error)
      log.info({ event: 'import-rejected', code: error.code }, error.message)
      return
    } finally {
      abort.dispose()
    }
    // Undefined if the upload was erased meanwhile. The new bytes are then erased too.
    if (!(await receiveUpload(job, { arrival }))) await quota.release(job)
  }

  /** Aborts if the download times out, if its upload is erased, or if the job is handed back. */
  function abortConditions(address: UploadAddress, jobSignal: AbortSignal) {
    const controller = new AbortController()
    const timeout = setTimeout(() => controller.abort(new AppError('source_too_slow')), deps.timeoutMs)
    const erasedCheck = setInterval(async () => {
      // A failed check is ignored: the next one follows.
      const erased = await records.isErased(address).catch(() => false)
      if (erased) controller.abort(new AppError('upload_not_found'))
    }, erasedCheckMs)
    return {
      signal: AbortSignal.any([controller.signal, jobSignal]),
      dispose() {
        clearTimeout(timeout)
        clearInterval(erasedCheck)
      },
    }
  }

  async function fetchInto(upload: Upload, source: UploadSource, signal: AbortSignal): Promise<Arrival> {
    const opened = await fetchSource(source.url, signal)
    const bodyFailed = new AbortController()
    // Without a listener, an error while the body is not being read would crash the process.
    const onBodyError = (error: Error) =>
      bodyFailed.abort(error instanceof AppError ? error : unavailable(error))
    opened.body.on('error', onBodyError)
    if (opened.body.errored) onBodyError(opened.body.errored)
    try {
      return await store(upload, source, opened, AbortSignal.any([signal, bodyFailed.signal]))
    } catch (error) {
      // A rejected file closes the body too, so an AppError is the first reason and takes precedence.
      throw bodyFailed.signal.aborted && !(error instanceof AppError) ? bodyFailed.signal.reason : error
    } finally {
      opened.body.destroy()
    }
  }

  async function store(
    upload: Upload,
    source: UploadSource,
    opened: FetchedSource,
    signal: AbortSignal,
  ): Promise<Arrival> {
    const { size, body } = opened
    if (size !== undefined) checkSize(size, source)
    const expectedSize = size ?? source.size
    const intent = intentOf(upload.intent, source, { ...opened, size: expectedSize })
    let reserved = upload.intent.size
    if (expectedSize !== undefined) {
      await reserveQuota(upload, reserved, expectedSize)
      reserved = expectedSize
    }
    await recordIntent(upload, intent)
    if (size !== undefined) return storeOriginal.ofKnownSize(upload, intent, body, signal)
    return storeOriginal.ofUnknownSize(upload, intent, {
      chunks: checkedChunks(body, source),
      maxBytes: source.size,
      ...limitOf(source),
      async beforeCommit(bytes) {
        checkSize(bytes, source)
        await reserveQuota(upload, reserved, bytes)
        // Before S3 sends the object's event: a worker compares the object with the recorded size.
        await recordIntent(upload, { ...intent, size: bytes })
      },
      // An import has no client that could try again, so it waits for memory as long as it may run.
      buffering: { holder: { owner: upload.owner }, signal, waitMs: deps.timeoutMs },
    })
  }

  function checkSize(bytes: number, { size, maxBytes }: UploadSource): void {
    if (maxBytes !== undefined && bytes > maxBytes) throw tooLarge(maxBytes, maxFileBytesName)
    if (bytes > maxUploadBytes) throw tooLarge(maxUploadBytes)
    if (size === undefined || bytes === size) return
    throw new AppError('size_mismatch', {
      message: `The file at the source has ${bytes} bytes; ${size} were announced.`,
    })
  }

  /** Returns the limit of a source that does not declare its size. */
  function limitOf({ maxBytes }: UploadSource) {
    if (maxBytes === undefined || maxBytes >= maxUploadBytes) return { limitBytes: maxUploadBytes }
    return { limitBytes: maxBytes, exceeded: () => tooLarge(maxBytes, maxFileBytesName) }
  }

  async function reserveQuota(address: UploadAddress, from: number, to: number): Promise<void> {
    await quota.resize(address, { from, to }, Date.now() + deps.timeoutMs)
  }

  /** Writes the intent to the record. @throws AppError `upload_not_found` if the upload was erased */
  async function recordIntent(address: UploadAddress, intent: UploadIntent): Promise<void> {
    await records.update(address, (current) =>
      current.state === 'awaiting' ? { ...current, intent } : undefined,
    )
  }
}

export type ImportUpload = ReturnType<typeof createImportUpload>

/** Completes the intent with the source's response headers. Values from the client take precedence. */
function intentOf(
  announced: UploadIntent,
  source: UploadSource,
  response: Pick<FetchedSource, 'filename' | 'contentType' | 'size'>,
): UploadIntent {
  const contentType = source.contentType ?? declaredType(response.contentType)
  const intent = { ...announced, contentType, size: response.size ?? 0 }
  if (source.filename !== undefined) return intent
  return withShortenedFilename({
    ...intent,
    filename: cleanFilename(response.filename ?? '') || announced.filename,
  })
}

/** Passes chunks on. Throws if the body is larger than announced. */
async function* checkedChunks(
  chunks: AsyncIterable<Buffer>,
  { size = Number.POSITIVE_INFINITY }: UploadSource,
): AsyncGenerator<Buffer> {
  let receivedBytes = 0
  for await (const chunk of chunks) {
    receivedBytes += chunk.length
    if (receivedBytes > size) {
      throw new AppError('size_mismatch', {
        message: `The file at the source has more than the ${size} bytes that were announced.`,
      })
    }
    yield chunk
  }
}
