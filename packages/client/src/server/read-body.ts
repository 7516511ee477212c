import { RouteError } from '../routes/route-error.ts'

/** Longest body of a request for a token and of an event, in bytes. A file's declaration takes some 100. */
export const maxBodyBytes = 1024 ** 2

/**
 * Reads a request's body as it was sent: the signature of a webhook covers its bytes.
 * @throws RouteError if it is too long, or if something else has read it before
 */
export async function readBody(request: Request): Promise<string> {
  if (request.bodyUsed) {
    throw bodyRead('Pass the request to the handler before anything reads its body.')
  }
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true })
  let bytes = 0
  let text = ''
  const reader = request.body?.getReader()
  for (;;) {
    const { done, value } = (await reader?.read()) ?? { done: true }
    if (done || !value) return text + decoder.decode()
    bytes += value.byteLength
    if (bytes > maxBodyBytes) {
      await reader?.cancel()
      throw tooLong()
    }
    text += decoder.decode(value, { stream: true })
  }
}

export function tooLong(): RouteError {
  return new RouteError({
    ...{ status: 413, code: 'request_invalid' },
    detail: `The body has more than ${maxBodyBytes} bytes.`,
  })
}

/** @param advice what the developer of the backend must change */
export function bodyRead(advice: string): RouteError {
  return new RouteError({
    ...{ status: 500, code: 'body_read' },
    detail: `The body of this request was read before it reached the upload handler, which needs its raw bytes. ${advice}`,
  })
}
