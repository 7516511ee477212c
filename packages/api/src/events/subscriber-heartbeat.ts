import { randomUUID } from 'node:crypto'
import type { Subscriber, Subscription } from '@millrace/shared/connections/subscriber.ts'
import type { Redis } from 'ioredis'
import type { Logger } from 'pino'

/** How often a message is sent to itself, in ms. */
const defaultPeriodMs = 5_000

/**
 * Notices a subscriber that hears nothing any more. Its host may have gone without closing the connection, or the address
 * of Redis may lead elsewhere. A subscriber sends nothing, so it would wait for hours, while its streams look alive.
 *
 * A message is published on a channel of this process. If it has not come back by the next one, the subscriber connects
 * again, and its streams read what they missed. While Redis takes no commands, or has not confirmed the channel, nothing is
 * concluded: the connection itself gives up a handshake or a subscription that is not answered.
 *
 * @param deps.redis a connection for commands to the same Redis
 * @param deps.periodMs between two messages, in ms
 */
export function createSubscriberHeartbeat(deps: {
  subscriber: Subscriber
  redis: Pick<Redis, 'publish'>
  prefix: string
  log: Logger
  periodMs?: number
}) {
  const { subscriber, redis, log, periodMs = defaultPeriodMs } = deps
  const channel = `${deps.prefix}:heartbeat:${randomUUID()}`
  let sent = 0
  let received = 0
  let timer: NodeJS.Timeout | undefined
  let subscription: Subscription | undefined
  // A message that was lost with its connection says nothing of the next one.
  subscriber.onReconnected(() => {
    received = sent
  })

  async function beat(): Promise<void> {
    if (!subscription?.isConfirmed()) return
    if (received < sent) {
      log.warn(
        { event: 'subscriber-silent', periodMs },
        'the Redis subscriber hears nothing, it connects again',
      )
      received = sent
      subscriber.reconnect()
      return
    }
    await redis.publish(channel, String(sent + 1))
    sent += 1
  }

  return {
    start(): void {
      subscription = subscriber.subscribe(channel, (text) => {
        received = Number(text)
      })
      // If publishing fails, the connection for commands shows it.
      timer = setInterval(() => beat().catch(() => undefined), periodMs).unref()
    },
    stop(): void {
      clearInterval(timer)
      subscription?.end()
    },
  }
}
