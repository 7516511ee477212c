import { cleanFilename, declaredType, withShortenedFilename } from '@millrace/shared/imports/source-file.ts'
import type { ImportUploadJob } from '@millrace/shared/jobs/import-upload-job.ts'
import type { AbortMultipartUploads } from '@millrace/shared/ledger/abort-multipart-uploads.ts'
import type { EraseObjects } from '@millrace/shared/ledger/erase-objects.ts'
import { originalKey } from '@millrace/shared/ledger/object-keys.ts'
import { planGrowingParts, planParts } from '@millrace/shared/ledger/part-plan.ts'
import { putLimitBytes, type StoreOriginal } from '@millrace/shared/ledger/store-original.ts'
import type { ReceiveUpload } from '@millrace/shared/lifecycle/receive-upload.ts'
import type { Quota } from '@millrace/shared/quotas/quota.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import { tooLarge } from '@millrace/shared/uploads/file-errors.ts'
import type { Arrival, Upload, UploadIntent, UploadSource } from '@millrace/shared/uploads/upload.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import type { UploadRecords } from '@millrace/shared/uploads/upload-records.ts'
import type { Attempt } from '../processing/process-upload.ts'
import { emptySource, type FetchedSource, type FetchSource, unavailable } from './fetch-source.ts'
import { type FinishImport, isFinalImportError } from './finish-import.ts'

/** How often a running import looks whether its upload was erased, in ms. */
const erasedCheckMs = 1_000

/**
 * The job of an import: fetches a source's file into S3 as it comes, and says that it arrived. From there on
 * it goes the way of every upload.
 *
 * find → open source → reserve quota → stream into S3 → receive
 *
 * A crash at any point leaves an upload that awaits its bytes; the next attempt begins anew.
 *
 * @param deps.maxUploadBytes the largest file taken
 * @param deps.timeoutMs how long a file may take to come, in ms
 */
export function createImportUpload(deps: {
  records: UploadRecords
  receiveUpload: ReceiveUpload
  eraseObjects: EraseObjects
  abortMultipartUploads: AbortMultipartUploads
  quota: Quota
  fetchSource: FetchSource
  storeOriginal: StoreOriginal
  finishImport: FinishImport
  maxUploadBytes: number
  timeoutMs: number
}) {
  const { records, receiveUpload, eraseObjects, quota, fetchSource, storeOriginal, maxUploadBytes } = deps

  /** @throws AppError and others, which are tried again: what is final has ended the upload instead */
  return async function importUpload(job: ImportUploadJob, { log, signal }: Attempt): Promise<void> {
    // A predecessor may have been lost after the last byte, or in the middle of its parts.
    if (await receiveUpload(job)) return
    await deps.abortMultipartUploads(originalKey(job))
    const found = await records.find(job)
    const source = found?.upload.state === 'awaiting' ? found.upload.source : undefined
    if (!found || !source) {
      log.info({ event: 'import-superseded' }, 'nothing to import')
      return
    }
    const startedAtMs = performance.now()
    const watch = watchImport(job, signal)
    let arrival: Arrival
    try {
      arrival = await fetchInto(found.upload, source, watch.signal)
      const ms = Math.round(performance.now() - startedAtMs)
      log.info({ event: 'imported', bytes: arrival.size, ms }, 'imported')
    } catch (thrown) {
      const error = watch.signal.aborted ? watch.signal.reason : thrown
      if (signal.aborted) throw error
      if (await records.isErased(job)) return await erase(job)
      if (!isFinalImportError(error)) throw error
      await deps.finishImport(job, 'rejected', error)
      log.info({ event: 'import-rejected', code: error.code }, error.message)
      return
    } finally {
      watch.done()
    }
    // Undefined where it was erased meanwhile, and now once more.
    if (!(await receiveUpload(job, { arrival }))) await quota.release(job)
  }

  /** What came of it after it was erased, goes too. */
  async function erase(address: UploadAddress): Promise<void> {
    await eraseObjects(address)
    await quota.release(address)
  }

  /** Aborts when the file takes too long, when its upload is erased, and when the job is to be handed back. */
  function watchImport(address: UploadAddress, handedBack: AbortSignal) {
    const controller = new AbortController()
    const late = setTimeout(() => controller.abort(new AppError('source_too_slow')), deps.timeoutMs)
    const check = setInterval(async () => {
      // A look that fails is made up for by the next one.
      const erased = await records.isErased(address).catch(() => false)
      if (erased) controller.abort(new AppError('upload_not_found'))
    }, erasedCheckMs)
    return {
      signal: AbortSignal.any([controller.signal, handedBack]),
      done() {
        clearTimeout(late)
        clearInterval(check)
      },
    }
  }

  async function fetchInto(upload: Upload, source: UploadSource, signal: AbortSignal): Promise<Arrival> {
    const opened = await fetchSource(source.url, signal)
    const broken = new AbortController()
    // Without a listener it would end the process where nobody happens to read.
    const breakOff = (error: Error) => broken.abort(error instanceof AppError ? error : unavailable(error))
    opened.body.on('error', breakOff)
    if (opened.body.errored) breakOff(opened.body.errored)
    const either = AbortSignal.any([signal, broken.signal])
    try {
      return await store(upload, source, opened, either)
    } catch (error) {
      // A file that is refused breaks off, too: the first reason counts.
      throw broken.signal.aborted && !(error instanceof AppError) ? broken.signal.reason : error
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
    const known = size ?? source.size
    const intent = intentOf(upload.intent, source, { ...opened, size: known })
    if (known !== undefined) await take(upload, known)
    await announce(upload, intent)
    if (size !== undefined && size <= putLimitBytes) {
      return storeOriginal.inOnePut(upload, intent, body, signal)
    }
    const partBytes = known && planParts(known).partSize
    return storeOriginal.inParts(upload, intent, {
      chunks: expected(body, source),
      partBytes: partBytes ? () => partBytes : planGrowingParts(maxUploadBytes),
      limitBytes: maxUploadBytes,
      async beforeCommit(bytes) {
        checkSize(bytes, source)
        await take(upload, bytes)
        // Before S3 tells of the object: a worker compares the object with what was announced.
        await announce(upload, { ...intent, size: bytes })
      },
      signal,
    })
  }

  function checkSize(bytes: number, { size }: UploadSource): void {
    if (bytes > maxUploadBytes) throw tooLarge(maxUploadBytes)
    if (size === undefined || bytes === size) return
    throw new AppError('size_mismatch', {
      message: `The file at the source has ${bytes} bytes; ${size} were announced.`,
    })
  }

  async function take(address: UploadAddress, bytes: number): Promise<void> {
    await quota.reserve(address, bytes, Date.now() + deps.timeoutMs)
  }

  /** @throws AppError `upload_not_found` where the upload was erased */
  async function announce(address: UploadAddress, intent: UploadIntent): Promise<void> {
    await records.update(address, (current) =>
      current.state === 'awaiting' ? { ...current, intent } : undefined,
    )
  }
}

export type ImportUpload = ReturnType<typeof createImportUpload>

/** What is known of a file once its source has answered. What the client said goes first. */
function intentOf(
  announced: UploadIntent,
  told: UploadSource,
  found: Pick<FetchedSource, 'filename' | 'contentType' | 'size'>,
): UploadIntent {
  const contentType = told.contentType ?? declaredType(found.contentType)
  const intent = { ...announced, contentType, size: found.size ?? 0 }
  if (told.filename !== undefined) return intent
  return withShortenedFilename({
    ...intent,
    filename: cleanFilename(found.filename ?? '') || announced.filename,
  })
}

/** Passes on what comes, unless it is nothing at all or more than was announced. */
async function* expected(
  chunks: AsyncIterable<Buffer>,
  { size = Number.POSITIVE_INFINITY }: UploadSource,
): AsyncGenerator<Buffer> {
  let came = 0
  for await (const chunk of chunks) {
    came += chunk.length
    if (came > size) {
      throw new AppError('size_mismatch', {
        message: `The file at the source has more than the ${size} bytes that were announced.`,
      })
    }
    yield chunk
  }
  if (came === 0) throw emptySource()
}
