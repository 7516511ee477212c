import type { EraseUpload } from '@millrace/shared/lifecycle/erase-upload.ts'
import { AppError, type ErrorCode } from '@millrace/shared/service/app-error.ts'
import { openUploadLifeMs } from '@millrace/shared/uploads/upload.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import { DataStore, ERRORS, Metadata, Server, Upload } from '@tus/server'
import type { UploadHolder } from '../uploads/admit-upload.ts'
import { type ChunkChecksum, checksumAlgorithms } from './tus-checksum.ts'
import type { Chunk, ReceiveChunk } from './tus-chunk.ts'
import { metadataOf, tusIntent } from './tus-intent.ts'
import type { TusLock, TusLocks } from './tus-lock.ts'
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

const extensions = ['creation', 'creation-with-upload', 'termination', 'expiration', 'checksum']
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
  eraseUpload: EraseUpload
  maxUploadBytes: number
}) {
  const { tusUploads, receiveChunk, locks, eraseUpload, maxUploadBytes } = deps

  /**
   * Handles one request.
   *
   * @throws AppError if the client's request is at fault; otherwise the error of the failed step
   */
  return async function handleTusRequest(request: TusRequest): Promise<TusResponse> {
    const { method, headers, address } = request
    let failure: unknown
    const { store, newLock } = createStore(request)
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
    if (method === 'OPTIONS') responseHeaders.push(['tus-checksum-algorithm', checksumAlgorithms.join(',')])
    return { status: response.status, headers: responseHeaders }
  }

  /**
   * Creates the store and the lock of one request. `@tus/server` locks before it reads or changes the upload.
   */
  function createStore({ address, holder, traceparent, openBody, checksum, signal, interrupt }: TusRequest) {
    let lock: TusLock | undefined
    let progress: TusProgress | undefined

    const newLock = () => ({
      async lock(): Promise<void> {
        const onWanted = () =>
          interrupt(new AppError('upload_locked', { message: 'Another request continues this upload.' }))
        const acquired = await locks.acquire(address, { signal, onWanted })
        acquired.lost.addEventListener('abort', () => interrupt(new AppError('upload_locked')))
        lock = acquired
      },
      unlock: async () => lock?.release(),
    })

    const store = Object.assign(new DataStore(), {
      extensions,
      getExpiration: () => openUploadLifeMs,

      async create(tusUpload: Upload): Promise<Upload> {
        const { metadata = {}, size = 0 } = tusUpload
        const intent = {
          ...tusIntent(metadata, { size, fallback: address.id }),
          ...(traceparent !== undefined && { traceparent }),
        }
        progress = await tusUploads.create(holder, address.id, intent, Metadata.stringify(metadata))
        tusUpload.creation_date = progress.upload.createdAt
        return tusUpload
      },

      async getUpload(): Promise<Upload> {
        progress ??= await tusUploads.find(address)
        const { upload, offset } = progress
        const { tus, intent, state } = upload
        return new Upload({
          id: address.id,
          size: state === 'awaiting' ? intent.size : offset,
          offset,
          metadata: readMetadata(tus?.metadata) ?? metadataOf(intent),
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
    return { store, newLock }
  }
}

export type HandleTusRequest = ReturnType<typeof createTusHandler>

function readMetadata(header: string | undefined) {
  if (header === undefined) return undefined
  return header === '' ? {} : Metadata.parse(header)
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
