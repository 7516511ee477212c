import type { RecentActivity } from '@millrace/shared/fleet/recent-activity.ts'
import type { FastifyInstance } from 'fastify'
import type { ObserveRequest } from '../metrics/metrics.ts'
import { operationOf } from '../requests/request-log.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Excludes the route from the fleet's request metrics. Used for health checks. */
    untracked?: true
  }
}

/**
 * Counts requests and measures the duration of each, from its headers to the end of its response. Event
 * streams are counted while they are open. Their duration is not measured, because they last as long as the
 * client listens.
 *
 * @param observeRequest records each in the metrics
 */
export function trackRequests(
  app: FastifyInstance,
  activity: RecentActivity,
  observeRequest: ObserveRequest,
): void {
  app.addHook('onRequest', (request, reply, done) => {
    if (!request.routeOptions.config.untracked) {
      const end = activity.begin()
      // Emitted exactly once, also if the client disconnects before the response.
      reply.raw.on('close', () => {
        const isStream = reply.getHeader('content-type') === 'text/event-stream'
        const ms = end(isStream ? 'unmeasured' : 'measured', reply.statusCode >= 500 ? 'error' : 'ok')
        observeRequest({
          operation: operationOf(request),
          method: request.method,
          status: reply.raw.headersSent ? reply.raw.statusCode : undefined,
          ms: isStream ? undefined : ms,
        })
      })
    }
    done()
  })
}
