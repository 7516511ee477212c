import underPressure from '@fastify/under-pressure'
import { AppError } from '@millrace/shared/service/app-error.ts'
import type { FastifyInstance } from 'fastify'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Called instead of refusing the request. A function that does nothing exempts the route. */
    pressureHandler?: () => void
  }
}

/** For a route's config: the route is served even on overload. */
export const servedWhenOverloaded = { pressureHandler: () => undefined }

class OverloadedError extends AppError {
  constructor() {
    super('overloaded')
  }
}

/**
 * Refuses requests while the instance is overloaded, so that it can finish the active ones. Measures once a
 * second.
 *
 * @param limits.eventLoopDelayMs average delay of the event loop
 * @param limits.heapUsedBytes size of V8's used heap
 * @param limits.rssBytes resident set size of the process
 */
export function refuseWhenOverloaded(
  app: FastifyInstance,
  limits: { eventLoopDelayMs: number; heapUsedBytes: number; rssBytes: number },
): void {
  app.register(underPressure, {
    maxEventLoopDelay: limits.eventLoopDelayMs,
    maxHeapUsedBytes: limits.heapUsedBytes,
    maxRssBytes: limits.rssBytes,
    customError: OverloadedError,
  })
}
