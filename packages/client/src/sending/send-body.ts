import { SendError } from '../api/millrace-error.ts'

/** Idle timeout: a connection that sends no bytes for this long is aborted, in ms. */
const idleTimeoutMs = 60_000

export type SendBodyOptions = {
  method: 'POST' | 'PUT'
  url: string
  headers?: Record<string, string>
  body: Blob | FormData
  /** Called with the share of the body that has been sent, from 0 to 1. */
  onProgress: (share: number) => void
  signal: AbortSignal
}

export type SendBody = (options: SendBodyOptions) => Promise<string | null>

/** The part of XMLHttpRequest that is used. Node has none, so its types are not loaded. */
type UploadRequest = {
  readonly upload: { onprogress: ((event: { loaded: number; total: number }) => void) | null }
  readonly status: number
  readonly responseText: string
  onload: (() => void) | null
  onerror: (() => void) | null
  open(method: string, url: string): void
  setRequestHeader(name: string, value: string): void
  send(body: Blob | FormData): void
  abort(): void
  getResponseHeader(name: string): string | null
}
declare const XMLHttpRequest: { new (): UploadRequest } | undefined

/**
 * Sends one body to S3. Uses XMLHttpRequest if it exists, because fetch does not report upload progress.
 * With fetch, `onProgress` is called once, after the whole body has arrived.
 *
 * @returns the ETag of the response, or null if S3 does not expose it
 * @throws SendError if S3 refuses the request or cannot be reached; the signal's reason if it aborts
 */
export async function sendBody(options: SendBodyOptions): Promise<string | null> {
  options.signal.throwIfAborted()
  const etag =
    typeof XMLHttpRequest === 'undefined'
      ? await sendByFetch(options)
      : await sendByXhr(new XMLHttpRequest(), options)
  options.onProgress(1)
  return etag
}

async function sendByFetch({
  method,
  url,
  headers = {},
  body,
  signal,
}: SendBodyOptions): Promise<string | null> {
  try {
    const response = await fetch(url, { method, headers, body, signal })
    const text = await response.text()
    if (!response.ok) throw refusal(response.status, text)
    return response.headers.get('etag')
  } catch (error) {
    signal.throwIfAborted()
    if (error instanceof SendError) throw error
    throw new SendError(0, 'Cannot reach the storage.')
  }
}

function sendByXhr(request: UploadRequest, options: SendBodyOptions): Promise<string | null> {
  const { method, url, headers = {}, body, onProgress, signal } = options
  return new Promise((resolve, reject) => {
    let idleTimer = setTimeout(onIdle, idleTimeoutMs)
    const cleanUp = () => {
      clearTimeout(idleTimer)
      signal.removeEventListener('abort', onAbort)
    }
    function onIdle() {
      cleanUp()
      request.abort()
      reject(new SendError(0, `The storage received no bytes for ${idleTimeoutMs / 1000} s.`))
    }
    function onAbort() {
      cleanUp()
      request.abort()
      reject(signal.reason)
    }
    signal.addEventListener('abort', onAbort)
    request.upload.onprogress = ({ loaded, total }) => {
      clearTimeout(idleTimer)
      idleTimer = setTimeout(onIdle, idleTimeoutMs)
      if (total > 0) onProgress(loaded / total)
    }
    request.onerror = () => {
      cleanUp()
      reject(new SendError(0, 'Cannot reach the storage.'))
    }
    request.onload = () => {
      cleanUp()
      const { status, responseText } = request
      if (status >= 200 && status < 300) resolve(request.getResponseHeader('etag'))
      else reject(refusal(status, responseText))
    }
    request.open(method, url)
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value)
    request.send(body)
  })
}

/** Reads code and reason in S3's XML: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html */
function refusal(status: number, xml: string): SendError {
  const [, code] = /<Code>([^<]*)<\/Code>/.exec(xml) ?? []
  const [, reason] = /<Message>([^<]*)<\/Message>/.exec(xml) ?? []
  const message = reason
    ? `The storage refused the file: ${reason}`
    : `The storage returned status ${status}.`
  return new SendError(status, message, code)
}
