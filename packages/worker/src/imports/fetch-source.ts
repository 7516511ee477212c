import type { IncomingMessage } from 'node:http'
import { sourceUrlProblem } from '@millrace/shared/imports/source-url.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import { openRequest } from './open-request.ts'
import type { SourceAddresses } from './source-addresses.ts'
import { filenameOfDisposition, isEncoded, parseLocation } from './source-headers.ts'
import { watchSourceRate } from './source-rate.ts'

/** Enough for real sources. More redirects are a loop or an attack. */
const maxRedirects = 5
/** RFC 9110, 15.4: statuses that redirect a GET request. */
const redirectStatuses = new Set([301, 302, 303, 307, 308])
/** Retryable statuses below 500: 408, 425 and 429 (RFC 9110, 8470, 6585). */
const retryableStatuses = new Set([408, 425, 429])

/** A source's response with the file. Its body must be read or destroyed. */
export type FetchedSource = {
  body: IncomingMessage
  /** Bytes; undefined if the source does not declare the size. */
  size: number | undefined
  contentType: string | undefined
  /** The name in `Content-Disposition` (RFC 6266), decoded and otherwise unchanged. */
  filename: string | undefined
}

/**
 * Downloads files from sources. Each connection goes to an address that was checked just before, even if DNS changes
 * meanwhile (decision 0010). Proxies of the environment, cookies, credentials and kept connections are not used.
 *
 * @param deps.sourceAddresses resolves a name and refuses addresses that are not permitted
 * @param deps.allowedPorts allowed ports of sources
 * @param deps.idleTimeoutMs idle timeout of a source, and timeout of its response headers, in ms
 * @param deps.minBytesPerSecond lowest rate of a body, measured over the idle timeout; 0: no limit
 */
export function createFetchSource(deps: {
  sourceAddresses: SourceAddresses
  allowedPorts: readonly number[]
  idleTimeoutMs: number
  minBytesPerSecond: number
}) {
  const { sourceAddresses, allowedPorts, idleTimeoutMs, minBytesPerSecond } = deps

  /**
   * Requests a source's file. Follows redirects; each is checked like the first URL. A body that is sent too slowly ends
   * with `source_too_slow`.
   *
   * @param signal closes the connection, also while its body is read
   * @throws AppError `source_refused`, `source_not_found`, `source_unusable`, `source_unavailable`
   */
  return async function fetchSource(sourceUrl: string, signal: AbortSignal): Promise<FetchedSource> {
    let url = checkUrl(URL.parse(sourceUrl))
    for (let redirects = 0; redirects <= maxRedirects; redirects++) {
      const response = await request(url, signal)
      const next = redirectOf(response, url)
      if (!next) return openResponse(response)
      response.destroy()
      url = next
    }
    throw new AppError('source_unusable', {
      message: `The source redirects more than ${maxRedirects} times.`,
    })
  }

  function checkUrl(url: URL | null): URL {
    if (!url || sourceUrlProblem(url, allowedPorts)) throw new AppError('source_refused')
    return url
  }

  /** @returns the URL of a redirect, or undefined if the response is not one */
  function redirectOf({ statusCode = 0, headers }: IncomingMessage, url: URL): URL | undefined {
    const { location } = headers
    if (!redirectStatuses.has(statusCode) || location === undefined) return undefined
    const next = checkUrl(parseLocation(location, url))
    // An encrypted source must not continue over a connection that others can read and change.
    if (url.protocol === 'https:' && next.protocol === 'http:') {
      throw new AppError('source_unusable', { message: 'The source redirects from https to http.' })
    }
    return next
  }

  async function request(url: URL, signal: AbortSignal): Promise<IncomingMessage> {
    const addresses = await sourceAddresses(url.hostname)
    signal.throwIfAborted()
    return new Promise((resolve, reject) => {
      const outgoing = openRequest(url, addresses, {
        headers: { accept: '*/*', 'accept-encoding': 'identity', 'user-agent': 'millrace' },
        timeout: idleTimeoutMs,
        signal,
      })
      let received: IncomingMessage | undefined
      const onTimeout = () => {
        const error = unavailable(new Error(`No data for ${idleTimeoutMs} ms.`))
        received?.destroy(error)
        outgoing.destroy(error)
      }
      // The socket's timeout does not cover a source that sends its headers byte by byte.
      const headersTimeout = setTimeout(onTimeout, idleTimeoutMs)
      outgoing.on('timeout', onTimeout)
      outgoing.on('error', (error) => {
        clearTimeout(headersTimeout)
        reject(signal.aborted || error instanceof AppError ? error : unavailable(error))
      })
      outgoing.on('response', (response) => {
        clearTimeout(headersTimeout)
        received = response
        // The response may fail before its reader listens. The reader then finds `errored` set.
        response.on('error', () => undefined)
        resolve(response)
      })
      outgoing.end()
    })
  }

  function openResponse(response: IncomingMessage): FetchedSource {
    const { headers } = response
    try {
      checkStatus(response.statusCode ?? 0)
      // The request excluded compression. The decompressed size is unknown, so limits could not be checked.
      if (isEncoded(headers['content-encoding'])) {
        throw new AppError('source_unusable', { message: 'The source sends the file only compressed.' })
      }
      const length = headers['content-length']
      const size = length === undefined ? undefined : Number(length)
      watchSourceRate(response, { minBytesPerSecond, windowMs: idleTimeoutMs })
      return {
        body: response,
        size,
        contentType: headers['content-type'],
        filename: filenameOfDisposition(headers['content-disposition']),
      }
    } catch (error) {
      response.destroy()
      throw error
    }
  }
}

export type FetchSource = ReturnType<typeof createFetchSource>

/** Any failure of the connection. The owner gets no details, which would describe the source's network. */
export function unavailable(cause: unknown): AppError {
  return new AppError('source_unavailable', { cause })
}

function checkStatus(status: number): void {
  if (status === 200) return
  if (status === 404 || status === 410) throw new AppError('source_not_found')
  const message = `The source returned status ${status} instead of the file.`
  if (status >= 500 || retryableStatuses.has(status)) throw new AppError('source_unavailable', { message })
  throw new AppError('source_unusable', { message })
}
