import type { RecentActivity } from '@millrace/shared/fleet/recent-activity.ts'
import type { FastifyInstance } from 'fastify'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Left out of what the fleet view tells of requests, as probes are. */
    uncounted?: true
  }
}

/**
 * Counts requests and measures how long each took, from its headers to the end of its answer. Streams of events
 * are counted while they are open, but last as long as somebody watches, so their durations say nothing.
 */
export function trackRequests(app: FastifyInstance, activity: RecentActivity): void {
  app.addHook('onRequest', (request, reply, done) => {
    if (!request.routeOptions.config.uncounted) {
      const end = activity.begin()
      // Comes always and once, also where the client leaves before there is an answer.
      reply.raw.on('close', () => {
        const isStream = reply.getHeader('content-type') === 'text/event-stream'
        end(isStream ? 'unmeasured' : 'measured')
      })
    }
    done()
  })
}
