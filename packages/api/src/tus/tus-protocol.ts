import type { EraseUpload } from '@millrace/shared/lifecycle/erase-upload.ts'
import { AppError, type ErrorCode } from '@millrace/shared/service/app-error.ts'
import { openUploadLifeMs } from '@millrace/shared/uploads/upload.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import { DataStore, ERRORS, Metadata, Server, Upload } from '@tus/server'
import { type ChunkChecksum, checksumAlgorithms } from './tus-checksum.ts'
import type { Chunk, ReceiveChunk } from './tus-chunk.ts'
import { metadataOf, tusIntent } from './tus-intent.ts'
import type { TusLock, TusLocks } from './tus-lock.ts'
import type { TusProgress, TusUploads } from './tus-uploads.ts'

/** A request as tus sees it. */
export type TusRequest = {
  method: string
  /** Those that tus knows, by their names in lower case. */
  headers: Record<string, string>
  /** The upload that it is about, or is to make. */
  address: UploadAddress
  traceparent?: string
  /** Begins to read the body. */
  openBody(): Pick<Chunk, 'bytes' | 'cutBy'>
  checksum: ChunkChecksum | undefined
  /** Aborts when the answer is not to be waited for any more. */
  signal: AbortSignal
  /** Has the body end here. */
  cut(reason: AppError): void
}

/** What is answered where all went well. */
export type TusResponse = { status: number; headers: [name: string, value: string][] }

const extensions = ['creation', 'creation-with-upload', 'termination', 'expiration', 'checksum']
const path = '/tus'

/**
 * The protocol as `@tus/server` speaks it, over our own uploads. A server is made for each request, which costs
 * next to nothing: so its store and its lock are those of this very upload and request, and bytes go from the
 * connection to S3 without the two web streams that it would lay in between.
 *
 * @param deps.maxUploadBytes told to clients as `Tus-Max-Size`
 */
export function createTusHandler(deps: {
  tusUploads: TusUploads
  receiveChunk: ReceiveChunk
  locks: TusLocks
  eraseUpload: EraseUpload
  maxUploadBytes: number
}) {
  const { tusUploads, receiveChunk, locks, eraseUpload, maxUploadBytes } = deps

  /** @throws whatever is wrong, as AppError where it is the client's fault */
  return async function handleTusRequest(request: TusRequest): Promise<TusResponse> {
    const { method, headers, address } = request
    let failure: unknown
    const { store, newLock } = createStore(request)
    const server = new Server({
      path,
      datastore: store,
      locker: { newLock },
      maxSize: maxUploadBytes,
      allowedHeaders: ['Upload-Checksum', 'X-Request-ID'],
      namingFunction: () => address.id,
      getFileIdFromRequest: () => address.id,
      // Clients resolve it by the address that they asked, whatever proxies made of it since.
      generateUrl: () => `${path}/${address.id}`,
      onResponseError: (_request, error) => {
        failure = error
        return undefined
      },
    })
    const answer = await server.handleWeb(new Request(`http://tus${path}/${address.id}`, { method, headers }))
    if (failure !== undefined) throw inOurWords(failure)
    if (answer.status >= 400) throw new AppError('invalid_request', { message: await sentence(answer) })
    const told = [...answer.headers].filter(([name]) => name !== 'content-length')
    if (method === 'OPTIONS') told.push(['tus-checksum-algorithm', checksumAlgorithms.join(',')])
    return { status: answer.status, headers: told }
  }

  /** What `@tus/server` asks for, for one request. It takes the lock before it looks at or changes anything. */
  function createStore({ address, traceparent, openBody, checksum, signal, cut }: TusRequest) {
    let lock: TusLock | undefined
    let progress: TusProgress | undefined

    const newLock = () => ({
      async lock(): Promise<void> {
        const wanted = () =>
          cut(new AppError('upload_locked', { message: 'Another request goes on with this upload.' }))
        const taken = await locks.take(address, { signal, wanted })
        taken.lost.addEventListener('abort', () => cut(new AppError('upload_locked')))
        lock = taken
      },
      unlock: async () => lock?.release(),
    })

    const store = Object.assign(new DataStore(), {
      extensions,
      getExpiration: () => openUploadLifeMs,

      async create(made: Upload): Promise<Upload> {
        const intent = {
          ...tusIntent(made.metadata ?? {}, { size: made.size ?? 0, fallback: address.id }),
          ...(traceparent !== undefined && { traceparent }),
        }
        progress = await tusUploads.create(address, intent, Metadata.stringify(made.metadata ?? {}))
        made.creation_date = progress.upload.createdAt
        return made
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
          // One that is whole does not expire.
          creation_date: state === 'awaiting' ? upload.createdAt : new Date().toISOString(),
        })
      },

      async write(emptyStream: { resume(): unknown }): Promise<number> {
        emptyStream.resume()
        if (!progress || !lock) throw new Error('@tus/server writes to what it has not looked at.')
        const offset = await receiveChunk(progress, { ...openBody(), checksum, lost: lock.lost })
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

async function sentence(answer: Response): Promise<string> {
  return `${(await answer.text()).trim()}.`
}

const codeOfError = new Map<unknown, ErrorCode>([
  [ERRORS.FILE_NOT_FOUND, 'upload_not_found'],
  [ERRORS.FILE_NO_LONGER_EXISTS, 'upload_expired'],
  [ERRORS.INVALID_OFFSET, 'upload_offset_mismatch'],
  [ERRORS.ERR_SIZE_EXCEEDED, 'upload_too_large'],
  [ERRORS.ERR_MAX_SIZE_EXCEEDED, 'upload_too_large'],
])

/** What `@tus/server` throws by itself is a plain object with a status and a sentence. */
function inOurWords(failure: unknown): unknown {
  const code = codeOfError.get(failure)
  if (code) return new AppError(code)
  if (failure instanceof Error || typeof failure !== 'object' || failure === null) return failure
  const body = 'body' in failure && typeof failure.body === 'string' ? failure.body.trim() : ''
  return new AppError('invalid_request', { message: `${body.replace(/\.$/, '')}.` })
}
