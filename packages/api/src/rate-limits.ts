import { hash } from 'node:crypto'
import rateLimit, { normalizeIP } from '@fastify/rate-limit'
import { AppError } from '@millrace/shared/app-error.ts'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Redis } from 'ioredis'
import { createRateLeases } from './rate-leases.ts'
import { createRecentValues } from './recent-values.ts'

const windowMs = 60_000
/** Of how many sessions and keys at least the hash is remembered. One takes about 1 KB. */
const rememberedTokens = 5_000
/** Session cookies have some 350 characters. Longer ones are not remembered, or they would take what memory there is. */
const rememberedCharacters = 512

/**
 * Limits how many requests an owner and an address may make in a minute, over all instances, before anything
 * else is done for them. Where Redis does not answer nobody is refused and nobody waits. Routes whose config
 * says `rateLimit: false` are not counted.
 *
 * @param deps.redis whose server counts, over a connection of its own that fails rather than waits
 * @param deps.prefix begins every key: `{prefix}:rate:…`
 * @param deps.perOwner requests a minute of one session or API key; 0 for no limit
 * @param deps.patienceMs how long a request waits to be counted, in ms
 * @param deps.perAddress requests a minute from one address, an IPv6 network of /64 counting as one; 0 likewise
 */
export async function limitRates(
  app: FastifyInstance,
  deps: { redis: Redis; prefix: string; patienceMs: number; perOwner: number; perAddress: number },
): Promise<void> {
  if (deps.perOwner === 0 && deps.perAddress === 0) return
  const counter = deps.redis.duplicate({
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    commandTimeout: deps.patienceMs,
  })
  // The connection that this one is a copy of tells of the same outage.
  counter.on('error', () => undefined)
  app.addHook('onClose', async () => counter.disconnect())
  const options = { global: false, timeWindow: windowMs, skipOnError: true }
  const store = createRateLeases({ redis: counter, prefix: `${deps.prefix}:rate:`, windowMs })
  await app.register(rateLimit, { ...options, store })
  const countOwner = app.createRateLimit({ max: deps.perOwner, keyGenerator: createOwnerKey() })
  const countAddress = app.createRateLimit({ max: deps.perAddress, keyGenerator: addressKey })

  app.addHook('onRequest', async (request, reply) => {
    if (request.routeOptions.config.rateLimit === false) return
    const counts = []
    if (deps.perAddress > 0) counts.push(countAddress(request))
    if (deps.perOwner > 0 && ownerToken(request) !== undefined) counts.push(countOwner(request))
    for (const count of await Promise.all(counts)) {
      if (!count.isAllowed && count.isExceeded) refuse(reply, count.ttlInSeconds, count.max)
    }
  })
}

function refuse(reply: FastifyReply, waitSeconds: number, limit: number): never {
  reply.header('retry-after', Math.max(waitSeconds, 1))
  throw new AppError('rate_limited', {
    message: `More than ${limit} requests in a minute. Try again in ${Math.max(waitSeconds, 1)} s.`,
  })
}

function addressKey(request: FastifyRequest): string {
  return `address:${normalizeIP(request.ip)}`
}

const sessionToken = /(?:^|; ?)(?:__Host-)?millrace=([^;]+)/

/**
 * What the client says it is, unopened: the sealed cookie stays the same for a day, an API key for ever. One
 * that is made up counts for itself, which wins nothing, since its address is counted as well.
 */
function ownerToken({ headers }: FastifyRequest): string | undefined {
  return headers.authorization ?? sessionToken.exec(headers.cookie ?? '')?.[1]
}

/** Says, as it is asked for, under which key an owner is counted: hashed, since Redis need not know anybody's key. */
function createOwnerKey() {
  const hashed = createRecentValues<string>(rememberedTokens)

  return function ownerKey(request: FastifyRequest): string {
    const token = ownerToken(request) ?? ''
    const known = hashed.find(token)
    if (known !== undefined) return known
    const key = `owner:${hash('sha256', token, 'base64url')}`
    if (token.length <= rememberedCharacters) hashed.keep(token, key)
    return key
  }
}
