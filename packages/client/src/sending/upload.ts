import type { Client } from 'openapi-fetch'
import type { components, paths } from '../api/api-types.ts'
import { ApiProblem, dataOf, SendError } from '../api/millrace-error.ts'
import { isRetryable, retry } from '../api/retry.ts'
import { sendBody } from './send-body.ts'
import { sendParts } from './send-parts.ts'

type Schemas = components['schemas']
export type Upload = Schemas['Upload']

export type UploadOptions = {
  /** Replaces the file's own name. */
  filename?: string
  /** Replaces the file's own media type. */
  contentType?: string
  preset?: string
  metadata?: Record<string, string>
  /** SHA-256 of the file, 64 hex digits. A file with another checksum is rejected. */
  sha256?: string
  /** The id of an interrupted upload in parts: only the parts that S3 does not have are sent. */
  resume?: string
  signal?: AbortSignal
  /** Called as soon as the upload has an id. With it, the upload can be resumed. */
  onAnnounced?: (id: string) => void
  /** Called with the bytes sent so far and the size of the file. In Node, once per part. */
  onProgress?: (sentBytes: number, totalBytes: number) => void
}

/** Creates the function that sends files straight to S3, with one PUT or in parts: the API decides which. */
export function createUpload({ api }: { api: Client<paths> }) {
  /**
   * Announces a file and sends it to S3.
   *
   * @param file a File or any other Blob, for example from `fs.openAsBlob()`
   * @returns the upload, once S3 has all its bytes. Processing may not be finished yet
   * @throws ApiProblem, SendError; the signal's reason if it aborts
   */
  return async function upload(file: Blob, options: UploadOptions = {}): Promise<Upload> {
    const signal = options.signal ?? new AbortController().signal
    signal.throwIfAborted()
    let maxSentBytes = -1
    // Progress never decreases, even if a part is sent again.
    const onSent = (bytes: number) => {
      if (signal.aborted || bytes <= maxSentBytes) return
      maxSentBytes = bytes
      options.onProgress?.(bytes, file.size)
    }
    if (options.resume !== undefined) return resume(options.resume, file, onSent, signal)
    const { id, transport } = await announce(file, options, signal)
    options.onAnnounced?.(id)
    onSent(0)
    if (transport.kind === 'put' || transport.kind === 'form') {
      if (transport.kind === 'put') await sendPut(transport, file, onSent, signal)
      else await sendForm(transport, file, onSent, signal)
      return find(id, signal)
    }
    // An earlier attempt with the same Idempotency-Key was executed, and S3 has the file.
    if (transport.kind === 'none') return find(id, signal)
    if (transport.kind !== 'multipart')
      throw new TypeError(`This client cannot send a file with the transport "${transport.kind}".`)
    const { parts: urls } = transport
    return complete(
      id,
      await sendParts({ api, id, plan: transport, urls, file, received: [], onSent, signal }),
      signal,
    )
  }

  async function announce(file: Blob, options: UploadOptions, signal: AbortSignal) {
    try {
      return await postAnnouncement(file, options, 'put', signal)
    } catch (error) {
      // During a deploy, an instance of the version before may get the request, which only knows forms.
      if (!isAboutTransport(error)) throw error
      return postAnnouncement(file, options, undefined, signal)
    }
  }

  /** The Idempotency-Key makes a retry after a lost response return the same upload, not a second one. */
  function postAnnouncement(
    file: Blob,
    options: UploadOptions,
    transport: 'put' | undefined,
    signal: AbortSignal,
  ) {
    const { preset, metadata, sha256 } = options
    const body = {
      filename: options.filename ?? ('name' in file && typeof file.name === 'string' ? file.name : 'file'),
      contentType: options.contentType ?? (file.type || 'application/octet-stream'),
      size: file.size,
      ...(transport && { transport }),
      ...(preset !== undefined && { preset }),
      ...(metadata && { metadata }),
      ...(sha256 !== undefined && { sha256 }),
    }
    const header = { 'idempotency-key': `upload-${randomHex()}` }
    return retry(async () => dataOf(await api.POST('/uploads', { params: { header }, body, signal })), {
      signal,
    })
  }

  async function resume(id: string, file: Blob, onSent: (bytes: number) => void, signal: AbortSignal) {
    const upload = await find(id, signal)
    if (upload.size !== file.size) {
      throw new Error(
        `Upload ${id} expects a file of ${upload.size} bytes; this file has ${file.size} bytes.`,
      )
    }
    if (upload.state !== 'awaiting') return upload
    const params = { path: { id } }
    const { parts, ...plan } = await retry(
      async () => dataOf(await api.GET('/uploads/{id}/parts', { params, signal })),
      { signal },
    )
    const isComplete = ({ partNumber, size }: Schemas['SentPart']) =>
      size === Math.min(plan.partSize, file.size - (partNumber - 1) * plan.partSize)
    const received = parts.filter(isComplete)
    return complete(id, await sendParts({ api, id, plan, urls: [], file, received, onSent, signal }), signal)
  }

  function complete(id: string, parts: { partNumber: number; etag: string }[], signal: AbortSignal) {
    const params = { path: { id } }
    return retry(
      async () => dataOf(await api.POST('/uploads/{id}/complete', { params, body: { parts }, signal })),
      { signal },
    )
  }

  function find(id: string, signal: AbortSignal): Promise<Upload> {
    const params = { path: { id } }
    return retry(async () => dataOf(await api.GET('/uploads/{id}', { params, signal })), { signal })
  }
}

function isAboutTransport(error: unknown): boolean {
  return (
    error instanceof ApiProblem && (error.problem?.errors ?? []).some(({ field }) => field === 'transport')
  )
}

/** Statuses of a PUT that S3 accepts only once: it has the file, or it is storing it at this moment. */
const alreadyStored = 412
const beingStored = 409

/** Sends the file with one PUT. If its response was lost, S3 has the file, and says so to the next attempt. */
async function sendPut(
  { url, headers }: Schemas['PutTransport'],
  file: Blob,
  onSent: (bytes: number) => void,
  signal: AbortSignal,
): Promise<void> {
  const onProgress = (share: number) => onSent(Math.round(share * file.size))
  const canRetry = (error: unknown) =>
    isRetryable(error) || (error instanceof SendError && error.status === beingStored)
  try {
    await retry(() => sendBody({ method: 'PUT', url, headers, body: file, onProgress, signal }), {
      signal,
      isRetryable: canRetry,
    })
  } catch (error) {
    if (!(error instanceof SendError) || error.status !== alreadyStored) throw error
    onProgress(1)
  }
}

/** Sends the file as a form. S3 ignores every field after `file`, so that field is the last one. */
async function sendForm(
  { url, fields }: Schemas['FormTransport'],
  file: Blob,
  onSent: (bytes: number) => void,
  signal: AbortSignal,
): Promise<void> {
  const body = new FormData()
  for (const [name, value] of Object.entries(fields)) body.append(name, value)
  body.append('file', file)
  // The form is a little larger than the file, so the share that was sent is applied to the file's size.
  const onProgress = (share: number) => onSent(Math.round(share * file.size))
  await retry(() => sendBody({ method: 'POST', url, body, onProgress, signal }), { signal })
}

/** Returns 32 random hex digits. `crypto.randomUUID` exists only in secure contexts, this works in all. */
function randomHex(): string {
  return [...crypto.getRandomValues(new Uint8Array(16))]
    .map((byte) => byte.toString(16).padStart(2, '0'))
    .join('')
}
