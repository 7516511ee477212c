import underPressure from '@fastify/under-pressure'
import { AppError } from '@millrace/shared/service/app-error.ts'
import type { FastifyInstance } from 'fastify'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Answers in place of the refusal; one that does nothing exempts the route. */
    pressureHandler?: () => void
  }
}

/** For a route's config: it is served however loaded the instance is. */
export const servedWhenOverloaded = { pressureHandler: () => undefined }

class Overloaded extends AppError {
  constructor() {
    super('overloaded')
  }
}

/**
 * Refuses requests while the instance has more to do than it can, so that what it has begun comes to an end.
 * Looked at once a second.
 *
 * @param limits.eventLoopDelayMs how long things wait for their turn, on average
 * @param limits.heapUsedBytes what JavaScript holds
 * @param limits.rssBytes what the process holds
 */
export function refuseWhenOverloaded(
  app: FastifyInstance,
  limits: { eventLoopDelayMs: number; heapUsedBytes: number; rssBytes: number },
): void {
  app.register(underPressure, {
    maxEventLoopDelay: limits.eventLoopDelayMs,
    maxHeapUsedBytes: limits.heapUsedBytes,
    maxRssBytes: limits.rssBytes,
    customError: Overloaded,
  })
}
