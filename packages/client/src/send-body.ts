import { SendError } from './millrace-error.ts'

/** A connection that moves no byte for so long is taken for dead, in ms. */
const stallMs = 60_000

type BodyToSend = {
  method: 'POST' | 'PUT'
  url: string
  body: Blob | FormData
  /** Gets the share of the body that has left, from 0 to 1. */
  onProgress: (share: number) => void
  signal: AbortSignal
}

/** What is used of XMLHttpRequest. Node has none, and its types are not loaded there. */
type UploadRequest = {
  readonly upload: { onprogress: ((event: { loaded: number; total: number }) => void) | null }
  readonly status: number
  readonly responseText: string
  onload: (() => void) | null
  onerror: (() => void) | null
  open(method: string, url: string): void
  send(body: Blob | FormData): void
  abort(): void
  getResponseHeader(name: string): string | null
}
declare const XMLHttpRequest: { new (): UploadRequest } | undefined

/**
 * Sends one body to S3: by XMLHttpRequest where there is one, since fetch cannot tell how much of a body has
 * left, and by fetch elsewhere, which tells of the whole body once it has arrived.
 *
 * @returns the response's ETag, or null where S3 does not show it
 * @throws SendError where S3 refuses or does not answer; the signal's reason where it aborts
 */
export async function sendBody(options: BodyToSend): Promise<string | null> {
  options.signal.throwIfAborted()
  const etag =
    typeof XMLHttpRequest === 'undefined'
      ? await sendByFetch(options)
      : await sendByXhr(new XMLHttpRequest(), options)
  options.onProgress(1)
  return etag
}

async function sendByFetch({ method, url, body, signal }: BodyToSend): Promise<string | null> {
  try {
    const response = await fetch(url, { method, body, signal })
    const text = await response.text()
    if (!response.ok) throw new SendError(response.status, refusal(response.status, text))
    return response.headers.get('etag')
  } catch (error) {
    signal.throwIfAborted()
    if (error instanceof SendError) throw error
    throw new SendError(0, 'The storage could not be reached.')
  }
}

function sendByXhr(request: UploadRequest, options: BodyToSend): Promise<string | null> {
  const { method, url, body, onProgress, signal } = options
  return new Promise((resolve, reject) => {
    let stall = setTimeout(onStall, stallMs)
    const end = () => {
      clearTimeout(stall)
      signal.removeEventListener('abort', onAbort)
    }
    function onStall() {
      end()
      request.abort()
      reject(new SendError(0, 'The connection to the storage has stalled.'))
    }
    function onAbort() {
      end()
      request.abort()
      reject(signal.reason)
    }
    signal.addEventListener('abort', onAbort)
    request.upload.onprogress = ({ loaded, total }) => {
      clearTimeout(stall)
      stall = setTimeout(onStall, stallMs)
      if (total > 0) onProgress(loaded / total)
    }
    request.onerror = () => {
      end()
      reject(new SendError(0, 'The storage could not be reached.'))
    }
    request.onload = () => {
      end()
      const { status, responseText } = request
      if (status >= 200 && status < 300) resolve(request.getResponseHeader('etag'))
      else reject(new SendError(status, refusal(status, responseText)))
    }
    request.open(method, url)
    request.send(body)
  })
}

/** S3 says why in XML: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html */
function refusal(status: number, xml: string): string {
  const [, reason] = /<Message>([^<]*)<\/Message>/.exec(xml) ?? []
  return reason ? `The storage refused the file: ${reason}` : `The storage answered ${status}.`
}
