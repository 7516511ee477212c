import type { FastifyInstance } from 'fastify'
import type { Redis } from 'ioredis'
import { refuseWhenOverloaded } from './overload.ts'
import { limitRates } from './rate-limits.ts'
import { timeOutSlowBodies } from './slow-bodies.ts'

/** Refuses requests on overload and above the rate limits, and times out slow bodies. */
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
): Promise<void> {
  const { redis, prefix, config } = deps
  refuseWhenOverloaded(app, {
    eventLoopDelayMs: config.maxEventLoopDelayMs,
    heapUsedBytes: config.maxHeapUsedBytes,
    rssBytes: config.maxRssBytes,
  })
  timeOutSlowBodies(app, { graceMs: config.slowBodyMs })
  await limitRates(app, {
    redis,
    prefix,
    timeoutMs: config.rateLimitTimeoutMs,
    perOwner: config.rateLimitPerMinute,
    perAddress: config.rateLimitPerAddressPerMinute,
  })
}
