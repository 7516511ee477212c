import { hash } from 'node:crypto'
import rateLimit, { normalizeIP } from '@fastify/rate-limit'
import { AppError } from '@millrace/shared/app-error.ts'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Redis } from 'ioredis'
import { createRateLeases } from './rate-leases.ts'
import { createRecentValues } from './recent-values.ts'

const windowMs = 60_000
/** Of how many addresses at least it is remembered under which key they are counted. One takes about 0.2 KB. */
const rememberedAddresses = 5_000
/** An IPv6 address with an IPv4 one in it. */
const longestAddress = 45
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
  const leases = createRateLeases({ redis: counter, prefix: `${deps.prefix}:rate:`, windowMs })
  await app.register(rateLimit, { ...options, store: leases.Store })
  const ownerKey = createOwnerKey()
  const addressKey = createAddressKey()
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

/** Says under which key an address is counted. */
function createAddressKey() {
  const normalized = createRecentValues<string>(rememberedAddresses)

  return function addressKey({ ip }: FastifyRequest): string {
    const known = normalized.find(ip)
    if (known !== undefined) return known
    const key = `address:${normalizeIP(ip)}`
    // A proxy that is trusted passes on what it was told, which may be anything.
    if (ip.length <= longestAddress) normalized.keep(ip, key)
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
