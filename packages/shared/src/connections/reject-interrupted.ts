import type { Redis } from 'ioredis'

/**
 * Rejects the commands that a lost connection left unanswered when later ones are rejected: after `maxRetriesPerRequest`, or when
 * the connection is closed for good. ioredis 6.0 puts them aside as soon as the next connection is open. If that one gets no
 * answer to its handshake, as from a Redis that hangs, they would wait until Redis answers again.
 *
 * Also of the connection's duplicates.
 */
export function rejectInterrupted(redis: Redis): Redis {
  const { maxRetriesPerRequest } = redis.options
  let interrupted: Redis['commandQueue'] | undefined
  /** Since the connection was ready, as ioredis counts. */
  let closes = 0

  redis.on('ready', () => {
    closes = 0
  })
  redis.on('close', () => {
    closes += 1
    // ioredis sends what this queue contains when it is ready again, and takes it out.
    if (closes === 1) interrupted = redis.commandQueue
    if (typeof maxRetriesPerRequest === 'number' && closes % (maxRetriesPerRequest + 1) === 0) reject()
  })
  redis.on('end', reject)

  function reject(): void {
    while (interrupted && interrupted.length > 0) {
      interrupted.shift()?.command.reject(new Error('Connection is closed.'))
    }
  }

  const duplicate = redis.duplicate.bind(redis)
  redis.duplicate = (override) => rejectInterrupted(duplicate(override))
  return redis
}
