import { Readable } from 'node:stream'
import type { EraseUpload } from '@millrace/shared/lifecycle/erase-upload.ts'
import { AppError, type ErrorCode } from '@millrace/shared/service/app-error.ts'
import { openUploadLifeMs } from '@millrace/shared/uploads/upload.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import { DataStore, ERRORS, Server, Upload } from '@tus/server'
import type { UploadHolder } from '../announcing/admit-upload.ts'
import { type ChunkChecksum, checksumAlgorithms } from './tus-checksum.ts'
import type { Chunk, ReceiveChunk } from './tus-chunk.ts'
import { metadataOf, tusIntent } from './tus-intent.ts'
import type { TusLock, TusLocks } from './tus-lock.ts'
import { formatMetadata, normalizeMetadata, parseMetadata } from './tus-metadata.ts'
import type { UnsizedUploads } from './tus-unsized.ts'
import type { TusProgress, TusUploads } from './tus-uploads.ts'

/** A tus request. */
export type TusRequest = {
  method: string
  /** The headers that tus defines, by their names in lower case. */
  headers: Record<string, string>
  /** The upload that the request reads, changes or creates. */
  address: UploadAddress
  /** Who creates an upload, and to whom the memory of its bytes counts. */
  holder: UploadHolder
  traceparent?: string
  /** Begins to read the body. */
  openBody(): Pick<Chunk, 'bytes' | 'length' | 'interruption'>
  checksum: ChunkChecksum | undefined
  /** Aborts when the response is not needed any more. */
  signal: AbortSignal
  /** Ends the body before its last byte. */
  interrupt(reason: AppError): void
}

/** A successful response. */
export type TusResponse = { status: number; headers: [name: string, value: string][] }

const extensions = [
  ...['creation', 'creation-with-upload', 'creation-defer-length', 'termination', 'expiration', 'checksum'],
]
const path = '/tus'

/**
 * Implements the tus protocol with `@tus/server`, over our own uploads. Each request has its own server,
 * which costs next to nothing. So the server's store and lock are those of one upload and one request. And
 * the bytes flow from the connection to S3 without the two web streams that `@tus/server` would put in
 * between.
 *
 * @param deps.maxUploadBytes limit of a file's size, in bytes; sent to clients as `Tus-Max-Size`
 */
export function createTusHandler(deps: {
  tusUploads: TusUploads
  receiveChunk: ReceiveChunk
  locks: TusLocks
  unsizedUploads: Pick<UnsizedUploads, 'declare'>
  eraseUpload: EraseUpload
  maxUploadBytes: number
}) {
  const { tusUploads, receiveChunk, locks, unsizedUploads, eraseUpload, maxUploadBytes } = deps

  /**
   * Handles one request.
   *
   * @throws AppError if the client's request is at fault; otherwise the error of the failed step
   */
  return async function handleTusRequest(request: TusRequest): Promise<TusResponse> {
    const { method, address } = request
    const { headers, metadata, length } = readHeaders(request)
    let failure: unknown
    const { store, newLock, metadataHeader } = createStore(request, { metadata, length })
    const server = new Server({
      path,
      datastore: store,
      locker: { newLock },
      maxSize: maxUploadBytes,
      namingFunction: () => address.id,
      getFileIdFromRequest: () => address.id,
      // A relative URL: clients resolve it against the URL that they sent, even if a proxy has changed it.
      generateUrl: () => `${path}/${address.id}`,
      onResponseError: (_request, error) => {
        failure = error
        return undefined
      },
    })
    const url = `http://tus${path}/${address.id}`
    const response = await server.handleWeb(new Request(url, { method, headers }))
    if (failure !== undefined) throw toAppError(failure)
    if (response.status >= 400) throw new AppError('invalid_request', { message: await messageOf(response) })
    // Which origins are allowed is decided for all routes (http/cross-origin.ts).
    const responseHeaders = [...response.headers].filter(
      ([name]) => name !== 'content-length' && !name.startsWith('access-control-'),
    )
    if (method === 'HEAD') responseHeaders.push(...metadataHeader())
    if (method === 'OPTIONS') responseHeaders.push(['tus-checksum-algorithm', checksumAlgorithms.join(',')])
    return { status: response.status, headers: responseHeaders }
  }

  /**
   * Creates the store and the lock of one request. `@tus/server` locks before it reads or changes the upload.
   */
  function createStore(
    { method, headers, address, holder, traceparent, openBody, checksum, signal, interrupt }: TusRequest,
    { metadata, length }: Pick<TusHeaders, 'metadata' | 'length'>,
  ) {
    let lock: TusLock | undefined
    let progress: TusProgress | undefined

    async function acquireLock(): Promise<TusLock> {
      const onWanted = () =>
        interrupt(new AppError('upload_locked', { message: 'Another request continues this upload.' }))
      const acquired = await locks.acquire(address, { signal, onWanted, onHeld: checkOffset })
      acquired.lost.addEventListener('abort', () => interrupt(new AppError('upload_locked')))
      const onAbort = () => void acquired.markEnding()
      signal.addEventListener('abort', onAbort)
      return {
        ...acquired,
        release() {
          // The signal also depends on one that lives as long as the process, which would keep the listener.
          signal.removeEventListener('abort', onAbort)
          return acquired.release()
        },
      }
    }

    /** Refuses bytes that S3 has already. @throws AppError `upload_offset_mismatch` */
    async function checkOffset(): Promise<void> {
      if (method !== 'PATCH') return
      const { offset } = await tusUploads.read(address)
      if (Number(headers['upload-offset']) < offset) throw new AppError('upload_offset_mismatch')
    }

    const newLock = () => ({
      async lock(): Promise<void> {
        if (method === 'HEAD') await locks.waitForEnding(address, signal)
        else lock = await acquireLock()
      },
      unlock: async () => lock?.release(),
    })

    /** Reads the progress without the lock, unless the upload has to be completed: after HEAD, no client would do it. */
    async function readProgress(): Promise<TusProgress> {
      const read = await tusUploads.read(address)
      if (!read.isWhole) return read
      const { release, lost } = await acquireLock()
      try {
        const found = await tusUploads.find(address)
        if (found.upload.state !== 'awaiting') return found
        const noBytes = { bytes: Readable.from([]), length: 0, interruption: () => undefined }
        await receiveChunk(found, { ...noBytes, holder, signal, lost })
        return await tusUploads.find(address)
      } finally {
        await release()
      }
    }

    /** Finds the progress under the lock, and declares the length that the request declares. */
    async function findProgress(): Promise<TusProgress> {
      const found = await tusUploads.find(address)
      // `@tus/server` refuses a request with another offset, whatever it declares.
      const isNext = found.upload.state === 'awaiting' && headers['upload-offset'] === String(found.offset)
      if (length === undefined || !isNext) return found
      return { ...found, upload: await unsizedUploads.declare(found.upload, { ...found, size: length }) }
    }

    const store = Object.assign(new DataStore(), {
      extensions,
      getExpiration: () => openUploadLifeMs,

      async create(tusUpload: Upload): Promise<Upload> {
        const { size } = tusUpload
        const announced = {
          ...tusIntent(parseMetadata(metadata), address.id),
          ...(size !== undefined && { size }),
          ...(traceparent !== undefined && { traceparent }),
        }
        progress = await tusUploads.create(holder, address.id, announced, metadata)
        tusUpload.creation_date = progress.upload.createdAt
        return tusUpload
      },

      async getUpload(): Promise<Upload> {
        progress ??= await (method === 'HEAD' ? readProgress() : findProgress())
        const { upload, offset } = progress
        const { tus, intent, state } = upload
        return new Upload({
          id: address.id,
          ...(!tus?.unsized && { size: state === 'awaiting' ? intent.size : offset }),
          offset,
          // A complete upload does not expire.
          creation_date: state === 'awaiting' ? upload.createdAt : new Date().toISOString(),
        })
      },

      async write(emptyStream: { resume(): unknown }): Promise<number> {
        emptyStream.resume()
        if (!progress || !lock)
          throw new Error('@tus/server called write before getUpload or without a lock.')
        const { lost } = lock
        const offset = await receiveChunk(progress, { ...openBody(), holder, checksum, signal, lost })
        progress = { ...progress, offset }
        return offset
      },

      async remove(): Promise<void> {
        await tusUploads.find(address)
        await eraseUpload(address)
      },
    })
    /** Returns `Upload-Metadata` with the bytes that the client sent, which may not be UTF-8. */
    function metadataHeader(): [name: string, value: string][] {
      if (!progress) return []
      const { tus, intent } = progress.upload
      const value = tus ? tus.metadata : formatMetadata(metadataOf(intent))
      return value === '' ? [] : [['upload-metadata', value]]
    }

    return { store, newLock, metadataHeader }
  }
}

export type HandleTusRequest = ReturnType<typeof createTusHandler>

type TusHeaders = {
  /** The headers for `@tus/server`. */
  headers: Record<string, string>
  /** `Upload-Metadata` of a new upload, normalized. */
  metadata: string
  /** The length that a PATCH declares for an upload without one, in bytes. */
  length: number | undefined
}

/**
 * Reads the headers that `@tus/server` reads too strictly: it refuses metadata that clients send in other forms, and a
 * length that is declared again.
 *
 * @throws AppError `invalid_request`
 */
function readHeaders({ method, headers }: TusRequest): TusHeaders {
  const { 'upload-metadata': sent = '', ...others } = headers
  if (method === 'POST') {
    const metadata = normalizeMetadata(sent)
    return {
      headers: { ...others, ...(metadata && { 'upload-metadata': metadata }) },
      metadata,
      length: undefined,
    }
  }
  const { 'upload-length': length, ...rest } = others
  if (method !== 'PATCH' || length === undefined) return { headers: rest, metadata: '', length: undefined }
  if (!/^\d+$/.test(length) || !Number.isSafeInteger(Number(length))) {
    throw new AppError('invalid_request', {
      message: 'Upload-Length must be a number of bytes.',
      fields: [{ field: 'upload-length', message: 'must be an integer' }],
    })
  }
  return { headers: rest, metadata: '', length: Number(length) }
}

async function messageOf(response: Response): Promise<string> {
  return `${(await response.text()).trim()}.`
}

/** Our error codes of the errors that `@tus/server` throws. */
const errorCodes = new Map<unknown, ErrorCode>([
  [ERRORS.FILE_NOT_FOUND, 'upload_not_found'],
  [ERRORS.FILE_NO_LONGER_EXISTS, 'upload_expired'],
  [ERRORS.INVALID_OFFSET, 'upload_offset_mismatch'],
  [ERRORS.ERR_SIZE_EXCEEDED, 'upload_too_large'],
  [ERRORS.ERR_MAX_SIZE_EXCEEDED, 'upload_too_large'],
])

/**
 * Converts an error of `@tus/server`, which is a plain object with a status and a message, to an AppError.
 */
function toAppError(failure: unknown): unknown {
  const code = errorCodes.get(failure)
  if (code) return new AppError(code)
  if (failure instanceof Error || typeof failure !== 'object' || failure === null) return failure
  const body = 'body' in failure && typeof failure.body === 'string' ? failure.body.trim() : ''
  return new AppError('invalid_request', { message: `${body.replace(/\.$/, '')}.` })
}
