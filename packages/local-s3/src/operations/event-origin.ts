import type { S3Exchange } from '../protocol/s3-exchange.ts'

import type { EventOrigin } from '../storage/event-outbox.ts'

/** Returns what event messages contain about the request that caused them. */
export function requestOrigin(exchange: S3Exchange): Omit<EventOrigin, 'eventName'> {
  return {
    requestId: exchange.requestId,
    hostId: exchange.hostId,
    sourceIp: exchange.socket.remoteAddress ?? '',
  }
}

/**
 * Returns the origin of one event.
 * @param eventName S3's event type without `s3:`, for example `ObjectCreated:Put`
 */
export function eventOrigin(exchange: S3Exchange, eventName: string): EventOrigin {
  return { eventName, ...requestOrigin(exchange) }
}
