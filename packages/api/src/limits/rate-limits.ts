import rateLimit from '@fastify/rate-limit'
import { clientNetworks } from '@millrace/shared/network/client-networks.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Redis } from 'ioredis'
import { clientAddress } from '../http/client-address.ts'
import { createRateLeases } from './rate-leases.ts'
import { cacheByText } from './text-cache.ts'

const windowMs = 60_000

/** A counter, and the requests per minute that it allows. */
type Limit = { key: string; max: number }

/**
 * Returns the name of the API key or the session that sent a request, after its credentials were checked; undefined if it
 * has none, or none that is valid. It must not throw.
 */
export type CallerOf = (request: FastifyRequest) => string | undefined

/**
 * Limits the requests per minute of each address, over all instances, before any other work is done for a request: so the
 * number of credentials that an address can try is limited, too. If Redis does not respond, requests are neither refused
 * nor delayed. Routes with `rateLimit: false` in their config are not counted.
 *
 * @param deps.redis the Redis that counts. A separate connection to it is opened, which fails instead of
 *   queueing
 * @param deps.prefix the prefix of every key: `{prefix}:rate:…`
 * @param deps.perOwner requests per minute of one session or API key; 0: no limit
 * @param deps.timeoutMs timeout for counting a request, in ms
 * @param deps.perAddress requests per minute of one address or IPv6 network (/64), and a multiple for a /48
 *   (clientNetworks); 0: no limit
 * @returns `limitCallers`, which limits the requests of each session and each API key in a scope. It is called after the
 *   hook that checks their credentials was added
 */
export async function limitRates(
  app: FastifyInstance,
  deps: { redis: Redis; prefix: string; timeoutMs: number; perOwner: number; perAddress: number },
) {
  const { perOwner, perAddress } = deps
  if (perOwner === 0 && perAddress === 0) return { limitCallers: () => undefined }
  const redis = deps.redis.duplicate({
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    commandTimeout: deps.timeoutMs,
  })
  // The original connection logs the same outage.
  redis.on('error', () => undefined)
  app.addHook('onClose', async () => redis.disconnect())
  // Otherwise the first requests of an instance would not be counted.
  await firstConnection(redis)
  const options = { global: false, timeWindow: windowMs, skipOnError: true }
  const leases = createRateLeases({ redis, prefix: `${deps.prefix}:rate:`, windowMs })
  await app.register(rateLimit, { ...options, store: leases.Store })
  const limitsOfAddress = cacheByText((address): Limit[] =>
    clientNetworks(address).map(({ name, share }) => ({ key: `address:${name}`, max: perAddress * share })),
  )
  const limitOfCaller = cacheByText((caller): Limit => ({ key: `owner:${caller}`, max: perOwner }))

  /** Returns the function that takes one request of a limit: nothing if a lease covers it, otherwise Redis' answer. */
  function createCounter(find: (request: FastifyRequest) => Limit | undefined) {
    const count = app.createRateLimit({
      keyGenerator: (request) => find(request)?.key ?? '',
      max: (request) => find(request)?.max ?? 0,
    })
    return (request: FastifyRequest, limit: Limit | undefined) =>
      limit && !leases.take(limit.key) ? [count(request)] : []
  }
  const countNetwork = createCounter((request) => limitsOfAddress(clientAddress(request))[0])
  const countSite = createCounter((request) => limitsOfAddress(clientAddress(request))[1])

  // Leases cover nearly all requests, so these do not wait for a promise.
  if (perAddress > 0) {
    app.addHook('onRequest', (request, reply, done) => {
      if (request.routeOptions.config.rateLimit === false) return done()
      const [network, site] = limitsOfAddress(clientAddress(request))
      refuseAbove(reply, [...countNetwork(request, network), ...countSite(request, site)], done)
    })
  }

  return {
    limitCallers(scope: FastifyInstance, callerOf: CallerOf): void {
      if (perOwner === 0) return
      const find = (request: FastifyRequest) => {
        const caller = callerOf(request)
        return caller === undefined ? undefined : limitOfCaller(caller)
      }
      const countCaller = createCounter(find)
      scope.addHook('onRequest', (request, reply, done) => {
        if (request.routeOptions.config.rateLimit === false) return done()
        refuseAbove(reply, countCaller(request, find(request)), done)
      })
    },
  }
}

/** Resolves once a connection to Redis is ready, or its first attempt has failed. ioredis makes the next ones by itself. */
async function firstConnection(redis: Redis): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  redis.once('ready', resolve).once('close', resolve)
  await promise
}

/** Continues with a request once its counts are known, or refuses it. */
function refuseAbove(reply: FastifyReply, counts: Promise<Count>[], done: (error?: Error) => void): void {
  if (counts.length === 0) done()
  else Promise.all(counts).then((results) => done(rateLimitError(reply, results)), done)
}

type Count = Awaited<ReturnType<ReturnType<FastifyInstance['createRateLimit']>>>

/** Returns the error of a request above a limit, and sets the `Retry-After` header. */
function rateLimitError(reply: FastifyReply, counts: Count[]): AppError | undefined {
  for (const count of counts) {
    if (count.isAllowed || !count.isExceeded) continue
    const waitSeconds = Math.max(count.ttlInSeconds, 1)
    reply.header('retry-after', waitSeconds)
    return new AppError('rate_limited', {
      message: `More than ${count.max} requests per minute. Retry after ${waitSeconds} s.`,
    })
  }
  return undefined
}
