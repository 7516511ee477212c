import { hash } from 'node:crypto'
import rateLimit, { normalizeIP } from '@fastify/rate-limit'
import { AppError } from '@millrace/shared/service/app-error.ts'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Redis } from 'ioredis'
import { LRUCache } from 'lru-cache'
import { createRateLeases } from './rate-leases.ts'

const windowMs = 60_000
/** About 0.2 KB each; the longest is an IPv6 address with an IPv4 one in it. A proxy may pass on anything as one. */
const rememberedAddresses = { texts: 5_000, characters: 45 }
/** Session cookies and API keys, about 1 KB each; cookies have some 350 characters. */
const rememberedTokens = { texts: 5_000, characters: 512 }

/**
 * Limits how many requests an owner and an address may make in a minute, over all instances, before anything
 * else is done for them. Where Redis does not answer nobody is refused and nobody waits. Routes whose config
 * says `rateLimit: false` are not counted.
 *
 * @param deps.redis whose server counts, over a connection of its own that fails rather than waits
 * @param deps.prefix begins every key: `{prefix}:rate:…`
 * @param deps.perOwner requests a minute of one session or API key; 0 for no limit
 * @param deps.timeoutMs how long a request waits to be counted, in ms
 * @param deps.perAddress requests a minute from one address, an IPv6 network of /64 counting as one; 0 likewise
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
  // The connection that this one is a copy of tells of the same outage.
  counter.on('error', () => undefined)
  app.addHook('onClose', async () => counter.disconnect())
  const options = { global: false, timeWindow: windowMs, skipOnError: true }
  const leases = createRateLeases({ redis: counter, prefix: `${deps.prefix}:rate:`, windowMs })
  await app.register(rateLimit, { ...options, store: leases.Store })
  const keyOfAddress = rememberKeys(rememberedAddresses, (ip) => `address:${normalizeIP(ip)}`)
  // Hashed, since Redis need not know anybody's key.
  const keyOfToken = rememberKeys(rememberedTokens, (token) => `owner:${hash('sha256', token, 'base64url')}`)
  const addressKey = ({ ip }: FastifyRequest) => keyOfAddress(ip)
  const ownerKey = (request: FastifyRequest) => keyOfToken(ownerToken(request) ?? '')
  const countOwner = app.createRateLimit({ max: deps.perOwner, keyGenerator: ownerKey })
  const countAddress = app.createRateLimit({ max: deps.perAddress, keyGenerator: addressKey })

  // Nearly all requests are let through by what the instance has leased, and need not wait for a promise.
  app.addHook('onRequest', (request, reply, done) => {
    if (request.routeOptions.config.rateLimit === false) return done()
    const counts: ReturnType<typeof countOwner>[] = []
    if (deps.perAddress > 0 && !leases.take(addressKey(request))) counts.push(countAddress(request))
    if (deps.perOwner > 0 && ownerToken(request) !== undefined && !leases.take(ownerKey(request))) {
      counts.push(countOwner(request))
    }
    if (counts.length === 0) return done()
    Promise.all(counts).then((answers) => done(refusal(reply, answers)), done)
  })
}

type Count = Awaited<ReturnType<ReturnType<FastifyInstance['createRateLimit']>>>

/** What a request is refused with that is over a limit; the reply then says when to come again. */
function refusal(reply: FastifyReply, counts: Count[]): AppError | undefined {
  for (const count of counts) {
    if (count.isAllowed || !count.isExceeded) continue
    const waitSeconds = Math.max(count.ttlInSeconds, 1)
    reply.header('retry-after', waitSeconds)
    return new AppError('rate_limited', {
      message: `More than ${count.max} requests in a minute. Try again in ${waitSeconds} s.`,
    })
  }
  return undefined
}

/**
 * Makes keys out of what clients say, and remembers them.
 *
 * @param limits of how many texts the key is remembered, and of how many characters at most they are:
 *   who sends longer ones would take what memory there is
 */
function rememberKeys(limits: { texts: number; characters: number }, make: (text: string) => string) {
  const made = new LRUCache<string, string>({ max: limits.texts })

  return (text: string): string => {
    const known = made.get(text)
    if (known !== undefined) return known
    const key = make(text)
    if (text.length <= limits.characters) made.set(text, key)
    return key
  }
}

const sessionToken = /(?:^|; ?)(?:__Host-)?millrace=([^;]+)/

/**
 * What the client says it is, unopened: the sealed cookie stays the same for a day, an API key for ever. One
 * that is made up counts for itself, which wins nothing, since its address is counted as well.
 */
function ownerToken({ headers }: FastifyRequest): string | undefined {
  return headers.authorization ?? sessionToken.exec(headers.cookie ?? '')?.[1]
}
