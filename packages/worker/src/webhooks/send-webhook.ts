import type { LookupAddress } from 'node:dns'
import type { IncomingMessage } from 'node:http'
import { AppError } from '@millrace/shared/service/app-error.ts'
import { noTracing, type Tracing } from '@millrace/shared/tracing/tracing.ts'
import type { WebhookContent } from '@millrace/shared/webhooks/delivery-log.ts'
import type { Webhook } from '@millrace/shared/webhooks/webhook.ts'
import { openRequest } from '../imports/open-request.ts'
import type { SourceAddresses } from '../imports/source-addresses.ts'
import { signWebhook } from './sign-webhook.ts'

/** Limits of one request. */
export type SendLimits = {
  /** Timeout of the whole request, in ms. */
  timeoutMs: number
  /** How long the rest of a response is read after its headers, in ms. */
  bodyTimeoutMs: number
}

export const usualSendLimits: SendLimits = {
  // Standard Webhooks recommends 15 to 30 s. Receivers should answer first and work then.
  timeoutMs: 15_000,
  bodyTimeoutMs: 2_000,
}

/** How much of a response is read, and how much of it is kept for the log, in bytes. */
const maxResponseBytes = 16 * 1024
const excerptBytes = 1_000

/** Why there was no response. */
export type SendError = 'address_refused' | 'dns_unavailable' | 'timeout' | 'connection_failed'

/** What became of a request. `ms` is its duration. */
export type SendResult = { ms: number } & (
  | { status: number; excerpt: string; retryAfterMs: number | undefined }
  | { error: SendError; cause: unknown }
)

/**
 * Sends events to webhooks, in the form of Standard Webhooks. Each connection goes to an address that was checked just
 * before, as with imports. Redirects are not followed: the receiver would be another one than the tenant named.
 *
 * @param deps.addresses resolves a name and refuses addresses that are not permitted
 * @param deps.tracing makes each request a span, and sends it along as `traceparent`, so that the receiver can continue the
 *   trace. It is random and names nobody. Default: nothing is traced, and no such header is sent
 */
export function createSendWebhook(deps: {
  addresses: SourceAddresses
  limits: SendLimits
  tracing?: Pick<Tracing, 'span' | 'traceparent'> | undefined
}) {
  const { addresses, limits, tracing = noTracing } = deps

  /**
   * Sends one request.
   * @param signal aborts the request
   * @throws the reason of the signal, if it aborts
   */
  return async function sendWebhook(
    webhook: Pick<Webhook, 'url' | 'secrets'>,
    content: WebhookContent,
    signal: AbortSignal,
  ): Promise<SendResult> {
    return tracing.span(
      'send webhook',
      async (span) => {
        const result = await send(webhook, content, signal)
        if ('status' in result) span.set({ 'http.response.status_code': result.status })
        if ('error' in result) span.fail(result.error)
        else if (result.status >= 400) span.fail(String(result.status))
        return result
      },
      { kind: 'client', attributes: { 'http.request.method': 'POST' } },
    )
  }

  async function send(
    webhook: Pick<Webhook, 'url' | 'secrets'>,
    content: WebhookContent,
    signal: AbortSignal,
  ): Promise<SendResult> {
    const startedAtMs = performance.now()
    const timeout = AbortSignal.timeout(limits.timeoutMs)
    const either = AbortSignal.any([signal, timeout])
    const elapsed = () => Math.round(performance.now() - startedAtMs)
    try {
      const url = new URL(webhook.url)
      if (url.protocol !== 'https:' && url.protocol !== 'http:') throw new AppError('source_refused')
      const response = await request(url, await untilAborted(addresses(url.hostname), either), either)
      const { statusCode: status = 0, headers } = response
      const text = await readStart(response)
      signal.throwIfAborted()
      return { ms: elapsed(), status, excerpt: text, retryAfterMs: retryAfterMs(headers['retry-after']) }
    } catch (cause) {
      signal.throwIfAborted()
      return { ms: elapsed(), error: timeout.aborted ? 'timeout' : errorOf(cause), cause }
    }

    function request(url: URL, found: LookupAddress[], abort: AbortSignal): Promise<IncomingMessage> {
      const body = Buffer.from(JSON.stringify(content))
      const traceparent = tracing.traceparent()
      return new Promise((resolve, reject) => {
        const outgoing = openRequest(url, found, {
          method: 'POST',
          headers: {
            'content-type': 'application/json',
            'content-length': body.length,
            accept: '*/*',
            'accept-encoding': 'identity',
            'user-agent': 'millrace',
            ...(traceparent !== undefined && { traceparent }),
            ...signWebhook(webhook.secrets, { id: content.id, body }),
          },
          signal: abort,
        })
        outgoing.on('error', reject)
        outgoing.on('response', (response) => {
          // The receiver may respond before it has read the body, and close.
          outgoing.on('error', () => undefined)
          resolve(response)
        })
        outgoing.end(body)
      })
    }
  }

  /** Reads the start of a response. The status has decided already, so a body that stalls or breaks off does not matter. */
  async function readStart(response: IncomingMessage): Promise<string> {
    const chunks: Buffer[] = []
    let bytes = 0
    const timer = setTimeout(() => response.destroy(), limits.bodyTimeoutMs)
    try {
      for await (const chunk of response) {
        if (!Buffer.isBuffer(chunk)) break
        chunks.push(chunk)
        bytes += chunk.length
        if (bytes >= maxResponseBytes) break
      }
    } catch {
      // What came so far is enough.
    } finally {
      clearTimeout(timer)
      response.destroy()
    }
    return Buffer.concat(chunks).subarray(0, excerptBytes).toString()
  }
}

export type SendWebhook = ReturnType<typeof createSendWebhook>

/** Rejects as soon as the signal aborts: a DNS query has longer timeouts of its own. */
async function untilAborted<Value>(work: Promise<Value>, signal: AbortSignal): Promise<Value> {
  const aborted = Promise.withResolvers<never>()
  const abort = () => aborted.reject(signal.reason)
  signal.addEventListener('abort', abort, { once: true })
  try {
    return await Promise.race([work, aborted.promise])
  } finally {
    signal.removeEventListener('abort', abort)
  }
}

function errorOf(error: unknown): SendError {
  if (!(error instanceof AppError)) return 'connection_failed'
  return error.code === 'source_refused' ? 'address_refused' : 'dns_unavailable'
}

/** Returns the time in `Retry-After` (RFC 9110, 10.2.3: seconds or a date) in ms from now, or undefined. */
function retryAfterMs(header: string | undefined): number | undefined {
  if (header === undefined) return undefined
  const ms = /^\d{1,9}$/.test(header) ? Number(header) * 1000 : Date.parse(header) - Date.now()
  return Number.isFinite(ms) ? Math.max(0, ms) : undefined
}
