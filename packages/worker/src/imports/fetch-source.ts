import type { LookupAddress } from 'node:dns'
import { Agent as HttpAgent, type IncomingMessage, request as requestHttp } from 'node:http'
import { Agent as HttpsAgent, request as requestHttps } from 'node:https'
import type { LookupFunction } from 'node:net'
import { sourceUrlProblem } from '@millrace/shared/imports/source-url.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import { parse } from 'content-disposition'
import type { SourceAddresses } from './source-addresses.ts'

/** As many as curl's users and browsers get by with; more are a circle or a game. */
const mostRedirects = 5
/** RFC 9110, 15.4: those that say where the same thing is to be had by GET. */
const redirects = new Set([301, 302, 303, 307, 308])
/** Statuses below 500 that may pass: 408, 425 and 429 (RFC 9110, 8470, 6585). */
const passing = new Set([408, 425, 429])

/** A source that has answered with its file. Its body must be read or destroyed. */
export type FetchedSource = {
  body: IncomingMessage
  /** Bytes, where the source says so. */
  size: number | undefined
  contentType: string | undefined
  /** The name in `Content-Disposition` (RFC 6266), as it stands there. */
  filename: string | undefined
}

/**
 * Asks sources for their files, and nobody else for anything: each connection goes to an address that was
 * looked at just before, and to that one whatever DNS says by then. Proxies of the environment, cookies,
 * credentials and connections that were left open are not made use of.
 *
 * @param deps.sourceAddresses resolves a name, and refuses what may not be talked to
 * @param deps.allowedPorts of sources
 * @param deps.silenceMs how long a source may keep silent, and how long it may take to answer, in ms
 */
export function createFetchSource(deps: {
  sourceAddresses: SourceAddresses
  allowedPorts: readonly number[]
  silenceMs: number
}) {
  const { sourceAddresses, allowedPorts, silenceMs } = deps

  /**
   * Follows redirects, each of which is looked at like the first address.
   *
   * @param signal ends the connection, also while its body is read
   * @throws AppError `source_refused`, `source_not_found`, `source_unusable`, `source_unavailable`
   */
  return async function fetchSource(sourceUrl: string, signal: AbortSignal): Promise<FetchedSource> {
    let url = checked(URL.parse(sourceUrl))
    for (let followed = 0; followed <= mostRedirects; followed++) {
      const answer = await ask(url, signal)
      const next = redirectOf(answer, url)
      if (!next) return opened(answer)
      answer.destroy()
      url = next
    }
    throw new AppError('source_unusable', {
      message: `The source redirects more than ${mostRedirects} times.`,
    })
  }

  function checked(url: URL | null): URL {
    if (!url || sourceUrlProblem(url, allowedPorts)) throw new AppError('source_refused')
    return url
  }

  /** @returns where an answer sends us, or undefined where it is the last one */
  function redirectOf({ statusCode = 0, headers }: IncomingMessage, url: URL): URL | undefined {
    const { location } = headers
    if (!redirects.has(statusCode) || location === undefined) return undefined
    const next = checked(URL.parse(location, url.href))
    // What was to be had in private must not come by a way that anybody can read and change.
    if (url.protocol === 'https:' && next.protocol === 'http:') {
      throw new AppError('source_unusable', { message: 'The source redirects from https to http.' })
    }
    return next
  }

  async function ask(url: URL, signal: AbortSignal): Promise<IncomingMessage> {
    const addresses = await sourceAddresses(url.hostname)
    signal.throwIfAborted()
    return new Promise((resolve, reject) => {
      const [requestOf, Agent] =
        url.protocol === 'https:' ? [requestHttps, HttpsAgent] : [requestHttp, HttpAgent]
      const request = requestOf(url, {
        // One of its own: it keeps no connection, and knows of no proxy.
        agent: new Agent({ keepAlive: false }),
        lookup: pinned(addresses),
        // The name stays what TLS asks for and checks the certificate against.
        rejectUnauthorized: true,
        insecureHTTPParser: false,
        headers: { accept: '*/*', 'accept-encoding': 'identity', 'user-agent': 'millrace' },
        timeout: silenceMs,
        signal,
      })
      let answered: IncomingMessage | undefined
      const silent = () => {
        const error = unavailable(new Error(`Silent for ${silenceMs} ms.`))
        answered?.destroy(error)
        request.destroy(error)
      }
      // A source that drips its headers is never silent.
      const unanswered = setTimeout(silent, silenceMs)
      request.on('timeout', silent)
      request.on('error', (error) => {
        clearTimeout(unanswered)
        reject(signal.aborted || error instanceof AppError ? error : unavailable(error))
      })
      request.on('response', (answer) => {
        clearTimeout(unanswered)
        answered = answer
        // It may break before its reader listens, who finds it errored then.
        answer.on('error', () => undefined)
        resolve(answer)
      })
      request.end()
    })
  }

  function opened(answer: IncomingMessage): FetchedSource {
    const { headers } = answer
    try {
      checkStatus(answer.statusCode ?? 0)
      const encoding = headers['content-encoding']?.trim().toLowerCase()
      // It was asked not to. What it would unfold to is nobody's to say, least of all a limit's.
      if (encoding && encoding !== 'identity') {
        throw new AppError('source_unusable', { message: 'The source sends the file compressed only.' })
      }
      const length = headers['content-length']
      const size = length === undefined ? undefined : Number(length)
      if (size === 0) throw emptySource()
      return {
        body: answer,
        size,
        contentType: headers['content-type'],
        filename: namedBy(headers['content-disposition']),
      }
    } catch (error) {
      answer.destroy()
      throw error
    }
  }
}

export type FetchSource = ReturnType<typeof createFetchSource>

export function emptySource(): AppError {
  return new AppError('source_unusable', { message: 'The file at the source is empty.' })
}

/** What went wrong on the way to a source or back, whatever it was: anything more would tell of its network. */
export function unavailable(cause: unknown): AppError {
  return new AppError('source_unavailable', { cause })
}

/** Answers with the addresses that were looked at, whatever is asked. */
function pinned(addresses: LookupAddress[]): LookupFunction {
  return (_hostname, { all }, done) => {
    const [first] = addresses
    if (all || !first) done(null, addresses)
    else done(null, first.address, first.family)
  }
}

function checkStatus(status: number): void {
  if (status === 200) return
  if (status === 404 || status === 410) throw new AppError('source_not_found')
  const message = `The source answered with status ${status} instead of the file.`
  if (status >= 500 || passing.has(status)) throw new AppError('source_unavailable', { message })
  throw new AppError('source_unusable', { message })
}

function namedBy(disposition: string | undefined): string | undefined {
  if (disposition === undefined) return undefined
  try {
    return parse(disposition).parameters['filename']
  } catch {
    // Not in the form of the RFC: it names nothing.
    return undefined
  }
}
