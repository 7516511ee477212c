import type { FastifyInstance } from 'fastify'
import type { Redis } from 'ioredis'
import { refuseWhenOverloaded } from './overload.ts'
import { limitRates } from './rate-limits.ts'
import { timeOutSlowBodies } from './slow-bodies.ts'

/**
 * Refuses requests on overload and above the rate limits of addresses, and times out slow bodies.
 *
 * @returns `limitCallers`, see rate-limits.ts
 */
export async function limitRequests(
  app: FastifyInstance,
  deps: {
    redis: Redis
    prefix: string
    config: {
      maxEventLoopDelayMs: number
      maxHeapUsedBytes: number
      maxRssBytes: number
      slowBodyMs: number
      rateLimitTimeoutMs: number
      rateLimitPerMinute: number
      rateLimitPerAddressPerMinute: number
    }
  },
): ReturnType<typeof limitRates> {
  const { redis, prefix, config } = deps
  refuseWhenOverloaded(app, {
    eventLoopDelayMs: config.maxEventLoopDelayMs,
    heapUsedBytes: config.maxHeapUsedBytes,
    rssBytes: config.maxRssBytes,
  })
  timeOutSlowBodies(app, { graceMs: config.slowBodyMs })
  return limitRates(app, {
    redis,
    prefix,
    timeoutMs: config.rateLimitTimeoutMs,
    perOwner: config.rateLimitPerMinute,
    perAddress: config.rateLimitPerAddressPerMinute,
  })
}
