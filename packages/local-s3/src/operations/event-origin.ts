import type { S3Exchange } from '../protocol/s3-exchange.ts'
import type { VerifiedSignature } from '../signing/signature-v4.ts'
import type { EventOrigin } from '../storage/event-outbox.ts'

/** What an operation is given: the exchange, and the signature that let it through. */
export type VerifiedRequest = { exchange: S3Exchange; signature: VerifiedSignature }

/** Who sent a request, as event messages say it. */
export function requestOrigin(exchange: S3Exchange): Omit<EventOrigin, 'eventName'> {
  return {
    requestId: exchange.requestId,
    hostId: exchange.hostId,
    sourceIp: exchange.socket.remoteAddress ?? '',
  }
}

/** @param eventName S3's event type without `s3:`, for example `ObjectCreated:Put` */
export function eventOrigin(exchange: S3Exchange, eventName: string): EventOrigin {
  return { eventName, ...requestOrigin(exchange) }
}
