import { Webhook } from 'standardwebhooks'
import type { WebhookEvent } from './webhook-event.ts'

/**
 * - `signature_invalid`: no secret made this signature, or the request is more than 5 minutes old. Answer 401
 * - `headers_missing`: the request has no signature. Answer 401
 * - `body_not_raw`: the framework has parsed the body, so its bytes are lost. Receive it as a text or as bytes
 * - `secret_invalid`: a secret is missing or not of the form `whsec_…`
 * - `event_invalid`: the signature is valid, but the body is no event
 */
export type WebhookErrorCode =
  | 'signature_invalid'
  | 'headers_missing'
  | 'body_not_raw'
  | 'secret_invalid'
  | 'event_invalid'

/** A request that is no event of Millrace's, or that cannot be verified. */
export class WebhookError extends Error {
  override readonly name = 'WebhookError'
  readonly code: WebhookErrorCode

  constructor(code: WebhookErrorCode, message: string) {
    super(message)
    this.code = code
  }
}

/** Headers of a request: a `Headers` object, or an object such as Node's `request.headers`, in upper or lower case. */
export type WebhookHeaders =
  | { get(name: string): string | null }
  | { readonly [name: string]: string | readonly string[] | undefined }

/** The headers of Standard Webhooks: https://github.com/standard-webhooks/standard-webhooks */
const headerNames = ['webhook-id', 'webhook-timestamp', 'webhook-signature'] as const

/**
 * Verifies that a request comes from Millrace, and returns its event.
 *
 * @param body the request's body, exactly as it was received: not parsed
 * @param headers the request's headers
 * @param secret the webhook's secret (`whsec_…`), or several of which one must fit
 * @throws WebhookError
 */
export function verifyWebhook(
  body: string | Uint8Array | ArrayBuffer,
  headers: WebhookHeaders,
  secret: string | readonly string[],
): WebhookEvent {
  const text = textOf(body)
  const signed = {
    'webhook-id': headerOf(headers, 'webhook-id'),
    'webhook-timestamp': headerOf(headers, 'webhook-timestamp'),
    'webhook-signature': headerOf(headers, 'webhook-signature'),
  }
  const verifiers = [secret].flat().map(openSecret)
  if (verifiers.length === 0) throw new WebhookError('secret_invalid', 'There is no secret to verify with.')
  const missing = headerNames.filter((name) => !signed[name])
  if (missing.length > 0) {
    throw new WebhookError('headers_missing', `The request is not signed: it has no ${missing.join(', ')}.`)
  }
  const reasons = verifiers.map((verifier) =>
    refusalOf(() => verifier.verify(text, signed, { jsonParse: false })),
  )
  if (!reasons.includes(undefined)) {
    throw new WebhookError('signature_invalid', `The request is refused: ${reasons[0]}.`)
  }
  const event = parse(text)
  if (!isEvent(event)) throw new WebhookError('event_invalid', 'The body is no event of a Millrace webhook.')
  return event
}

function openSecret(secret: unknown): Webhook {
  if (typeof secret !== 'string' || secret === '') {
    throw new WebhookError(
      'secret_invalid',
      `The secret is ${secret === '' ? 'empty' : typeof secret}, but must be a text.`,
    )
  }
  try {
    return new Webhook(secret)
  } catch {
    throw new WebhookError('secret_invalid', 'The secret must be as Millrace showed it: whsec_ and base64.')
  }
}

/** Returns why a check fails, or undefined if it succeeds. */
function refusalOf(check: () => unknown): string | undefined {
  try {
    check()
    return undefined
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

function textOf(body: unknown): string {
  if (typeof body === 'string') return body
  // The signature covers all bytes, also those of a byte order mark.
  if (body instanceof Uint8Array || body instanceof ArrayBuffer) {
    return new TextDecoder('utf-8', { ignoreBOM: true }).decode(body)
  }
  throw new WebhookError(
    'body_not_raw',
    `The body is ${body === undefined ? 'missing' : 'parsed already'}. The signature covers the bytes that were received: pass the raw body, such as await request.text(), or of express.raw({ type: 'application/json' }).`,
  )
}

function headerOf(headers: WebhookHeaders, name: string): string {
  if (isGettable(headers)) return headers.get(name) ?? ''
  const entry = Object.entries(headers).find(([key]) => key.toLowerCase() === name)
  return [entry?.[1] ?? ''].flat().join(' ')
}

function isGettable(headers: WebhookHeaders): headers is { get(name: string): string | null } {
  return typeof headers['get'] === 'function'
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function isEvent(event: unknown): event is WebhookEvent {
  if (typeof event !== 'object' || event === null || !('type' in event) || !('data' in event)) return false
  const { type, data } = event
  return typeof type === 'string' && typeof data === 'object' && data !== null && 'id' in data
}
