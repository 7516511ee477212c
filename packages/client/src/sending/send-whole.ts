import type { components } from '../api/api-types.ts'
import { isRetryable, retry } from '../api/retry.ts'
import { isAlreadyStored, isBeingStored } from './s3-errors.ts'
import type { SendBody } from './send-body.ts'

type Schemas = components['schemas']

/**
 * Sends a whole file in one request. If the response to a PUT was lost, S3 has the file, and says so to the next attempt.
 *
 * @param options.onSent called with the number of bytes sent so far
 * @throws SendError; the signal's reason if it aborts
 */
export async function sendWhole(options: {
  sendBody: SendBody
  transport: Schemas['PutTransport'] | Schemas['FormTransport']
  file: Blob
  onSent: (bytes: number) => void
  signal: AbortSignal
}): Promise<void> {
  const { sendBody, transport, file, signal, onSent } = options
  // A form is a little larger than the file, so the share that was sent is applied to the file's size.
  const onProgress = (share: number) => onSent(Math.round(share * file.size))
  const request = { ...requestOf(transport, file), onProgress, signal }
  try {
    await retry(() => sendBody(request), {
      signal,
      isRetryable: (error) => isRetryable(error) || isBeingStored(error),
    })
  } catch (error) {
    if (!isAlreadyStored(error)) throw error
    onProgress(1)
  }
}

function requestOf(transport: Schemas['PutTransport'] | Schemas['FormTransport'], file: Blob) {
  const { url } = transport
  if (transport.kind === 'put') return { method: 'PUT', url, headers: transport.headers, body: file } as const
  const form = new FormData()
  for (const [name, value] of Object.entries(transport.fields)) form.append(name, value)
  // S3 ignores every field after `file`, so that field is the last one.
  form.append('file', file)
  return { method: 'POST', url, body: form } as const
}
