import type { Client } from 'openapi-fetch'
import type { components, paths } from './api-types.ts'
import { dataOf } from './millrace-error.ts'
import { retry } from './retry.ts'
import { sendBody } from './send-body.ts'
import { sendParts } from './send-parts.ts'

type Schemas = components['schemas']
export type Upload = Schemas['Upload']

export type UploadOptions = {
  /** Instead of the file's own name. */
  filename?: string
  /** Instead of the file's own media type. */
  contentType?: string
  preset?: string
  metadata?: Record<string, string>
  /** 64 hex digits; other bytes are rejected. */
  sha256?: string
  /** The id of an upload in parts that broke off: only what S3 does not have is sent. */
  resume?: string
  signal?: AbortSignal
  /** Told as soon as the upload has an id, by which it can be resumed. */
  onAnnounced?: (id: string) => void
  /** Bytes that have left, and of how many. In Node, in steps of a part. */
  onProgress?: (sentBytes: number, totalBytes: number) => void
}

/** Sends files straight to S3, in the way that the API says. */
export function createUpload({ api }: { api: Client<paths> }) {
  /**
   * @param file a File or any Blob, such as `fs.openAsBlob()` gives
   * @returns the upload, once S3 has all of it; workers take it from there
   * @throws ApiProblem, SendError; the signal's reason where it aborts
   */
  return async function upload(file: Blob, options: UploadOptions = {}): Promise<Upload> {
    const signal = options.signal ?? new AbortController().signal
    signal.throwIfAborted()
    let mostBytes = -1
    // Bytes that leave a second time are not shown as a step back.
    const onSent = (bytes: number) => {
      if (signal.aborted || bytes <= mostBytes) return
      mostBytes = bytes
      options.onProgress?.(bytes, file.size)
    }
    if (options.resume !== undefined) return resume(options.resume, file, onSent, signal)
    const { id, transport } = await announce(file, options, signal)
    options.onAnnounced?.(id)
    onSent(0)
    if (transport.kind === 'form') {
      await sendForm(transport, file, onSent, signal)
      return find(id, signal)
    }
    if (transport.kind !== 'multipart') throw new TypeError(`A file cannot be sent by ${transport.kind}.`)
    const { parts: urls } = transport
    return complete(
      id,
      await sendParts({ api, id, plan: transport, urls, file, received: [], onSent, signal }),
      signal,
    )
  }

  /** The key lets the API answer a second try with the same upload where the first answer was lost. */
  function announce(file: Blob, options: UploadOptions, signal: AbortSignal) {
    const { preset, metadata, sha256 } = options
    const body = {
      filename: options.filename ?? ('name' in file && typeof file.name === 'string' ? file.name : 'file'),
      contentType: options.contentType ?? (file.type || 'application/octet-stream'),
      size: file.size,
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
    const known = await find(id, signal)
    if (known.size !== file.size) throw new Error(`Upload ${id} is of a file of ${known.size} bytes.`)
    if (known.state !== 'awaiting') return known
    const params = { path: { id } }
    const { parts, ...plan } = await retry(
      async () => dataOf(await api.GET('/uploads/{id}/parts', { params, signal })),
      { signal },
    )
    const isWhole = ({ partNumber, size }: Schemas['SentPart']) =>
      size === Math.min(plan.partSize, file.size - (partNumber - 1) * plan.partSize)
    const received = parts.filter(isWhole)
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

/** S3 ignores every field after `file`, so that is the last one. */
async function sendForm(
  { url, fields }: Schemas['FormTransport'],
  file: Blob,
  onSent: (bytes: number) => void,
  signal: AbortSignal,
): Promise<void> {
  const body = new FormData()
  for (const [name, value] of Object.entries(fields)) body.append(name, value)
  body.append('file', file)
  // The form is a little larger than the file, so its progress is told as a share.
  const onProgress = (share: number) => onSent(Math.round(share * file.size))
  await retry(() => sendBody({ method: 'POST', url, body, onProgress, signal }), { signal })
}

/** `crypto.randomUUID` is for secure contexts only; this is for all. */
function randomHex(): string {
  return [...crypto.getRandomValues(new Uint8Array(16))]
    .map((byte) => byte.toString(16).padStart(2, '0'))
    .join('')
}
