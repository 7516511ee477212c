import { hash } from 'node:crypto'
import rateLimit, { normalizeIP } from '@fastify/rate-limit'
import { AppError } from '@millrace/shared/service/app-error.ts'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Redis } from 'ioredis'
import { LRUCache } from 'lru-cache'
import { clientAddress } from '../http/client-address.ts'
import { createRateLeases } from './rate-leases.ts'

const windowMs = 60_000
/**
 * Cache limits for addresses. An entry takes about 0.2 KB. The longest address is an IPv6 address that
 * contains an IPv4 address; a proxy may send any other text as an address.
 */
const addressCache = { size: 5_000, maxCharacters: 45 }
/**
 * Cache limits for session cookies and API keys. An entry takes about 1 KB; cookies have some 350 characters.
 */
const tokenCache = { size: 5_000, maxCharacters: 512 }

/**
 * Limits the requests per minute of each owner and of each address, over all instances, before any other work
 * is done for a request. If Redis does not respond, requests are neither refused nor delayed. Routes with
 * `rateLimit: false` in their config are not counted.
 *
 * @param deps.redis the Redis that counts. A separate connection to it is opened, which fails instead of
 *   queueing
 * @param deps.prefix the prefix of every key: `{prefix}:rate:…`
 * @param deps.perOwner requests per minute of one session or API key; 0: no limit
 * @param deps.timeoutMs timeout for counting a request, in ms
 * @param deps.perAddress requests per minute of one address or IPv6 network (/64); 0: no limit
 */
export async function limitRates(
  app: FastifyInstance,
  deps: { redis: Redis; prefix: string; timeoutMs: number; perOwner: number; perAddress: number },
): Promise<void> {
  if (deps.perOwner === 0 && deps.perAddress === 0) return
  const counter = deps.redis.duplicate({
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    commandTimeout: deps.timeoutMs,
  })
  // The original connection logs the same outage.
  counter.on('error', () => undefined)
  app.addHook('onClose', async () => counter.disconnect())
  const options = { global: false, timeWindow: windowMs, skipOnError: true }
  const leases = createRateLeases({ redis: counter, prefix: `${deps.prefix}:rate:`, windowMs })
  await app.register(rateLimit, { ...options, store: leases.Store })
  const keyOfAddress = cacheKeys(addressCache, (ip) => `address:${normalizeIP(ip)}`)
  // Hashed, so that API keys are not stored in Redis.
  const keyOfToken = cacheKeys(tokenCache, (token) => `owner:${hash('sha256', token, 'base64url')}`)
  const addressKey = (request: FastifyRequest) => keyOfAddress(clientAddress(request))
  const ownerKey = (request: FastifyRequest) => keyOfToken(ownerToken(request) ?? '')
  const countOwner = app.createRateLimit({ max: deps.perOwner, keyGenerator: ownerKey })
  const countAddress = app.createRateLimit({ max: deps.perAddress, keyGenerator: addressKey })

  // Leases cover nearly all requests, so these do not wait for a promise.
  app.addHook('onRequest', (request, reply, done) => {
    if (request.routeOptions.config.rateLimit === false) return done()
    const counts: ReturnType<typeof countOwner>[] = []
    if (deps.perAddress > 0 && !leases.take(addressKey(request))) counts.push(countAddress(request))
    if (deps.perOwner > 0 && ownerToken(request) !== undefined && !leases.take(ownerKey(request))) {
      counts.push(countOwner(request))
    }
    if (counts.length === 0) return done()
    Promise.all(counts).then((results) => done(rateLimitError(reply, results)), done)
  })
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

/**
 * Returns `createKey` with a cache.
 *
 * @param limits.size number of cached keys
 * @param limits.maxCharacters longer texts are not cached, because they could fill the memory
 */
function cacheKeys(
  limits: { size: number; maxCharacters: number },
  createKey: (text: string) => string,
): (text: string) => string {
  const keys = new LRUCache<string, string>({ max: limits.size })

  return (text) => {
    const cached = keys.get(text)
    if (cached !== undefined) return cached
    const key = createKey(text)
    if (text.length <= limits.maxCharacters) keys.set(text, key)
    return key
  }
}

const sessionToken = /(?:^|; ?)(?:__Host-)?millrace=([^;]+)/

/**
 * Returns the API key or the sealed cookie of a request, without verifying it. A cookie stays the same for a
 * day, an API key is permanent. A client gains nothing with invented tokens: each has its own count, but the
 * address is counted too.
 */
function ownerToken({ headers }: FastifyRequest): string | undefined {
  return headers.authorization ?? sessionToken.exec(headers.cookie ?? '')?.[1]
}
