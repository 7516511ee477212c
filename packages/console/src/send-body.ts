/** A request to S3 that did not succeed. `status` is 0 where there was no answer at all. */
export class SendError extends Error {
  override readonly name = 'SendError'
  readonly status: number

  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

/** A connection that moves no byte for so long is taken for dead, in milliseconds. */
const stallMs = 60_000

/**
 * Sends one body to S3. By XMLHttpRequest, since fetch cannot tell how much of a body has left.
 *
 * @param options.onProgress gets the share of the body that has left, from 0 to 1
 * @returns the response's ETag, or null where S3 does not show it
 * @throws SendError where S3 refuses or does not answer; the signal's reason where it aborts
 */
export function sendBody(options: {
  method: 'POST' | 'PUT'
  url: string
  body: Blob | FormData
  onProgress: (share: number) => void
  signal: AbortSignal
}): Promise<string | null> {
  const { method, url, body, onProgress, signal } = options
  signal.throwIfAborted()
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest()
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
    request.upload.addEventListener('progress', ({ loaded, total }) => {
      clearTimeout(stall)
      stall = setTimeout(onStall, stallMs)
      if (total > 0) onProgress(loaded / total)
    })
    request.addEventListener('error', () => {
      end()
      reject(new SendError(0, 'The storage could not be reached.'))
    })
    request.addEventListener('load', () => {
      end()
      if (request.status >= 200 && request.status < 300) resolve(request.getResponseHeader('etag'))
      else reject(new SendError(request.status, refusal(request)))
    })
    request.open(method, url)
    request.send(body)
  })
}

/** S3 says why in XML: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html */
function refusal(request: XMLHttpRequest): string {
  const { status, responseText } = request
  // Something between us and S3 may answer in its own words.
  const isXml = request.getResponseHeader('content-type')?.startsWith('application/xml')
  const document = isXml ? new DOMParser().parseFromString(responseText, 'application/xml') : undefined
  const reason = document?.querySelector('Error > Message')?.textContent
  return reason ? `The storage refused the file: ${reason}` : `The storage answered ${status}.`
}
