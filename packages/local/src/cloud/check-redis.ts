import { checkEvictionPolicy } from '@millrace/shared/connections/check-eviction-policy.ts'
import { Redis } from 'ioredis'
import { StartError } from '../setup/start-error.ts'
import { isOldRedis, oldestRedisVersion } from './redis-version.ts'

const timeoutMs = 3_000
/** Life of the key that the check writes, in ms. */
const keyTtlMs = 1_000

/**
 * Checks the Redis server at a URL: it responds, accepts writes, is new enough, and deletes no keys. Connecting and each
 * command time out after 3 s. Writes for a moment:
 *
 *   {prefix}:start-check   1; expires
 *
 * @param options.prefix of all keys
 * @param options.print receives a warning if the server does not tell its settings
 * @throws StartError with a sentence that contains the host but never the password
 */
export async function checkRedis(
  url: string,
  options: { prefix: string; print: (line: string) => void },
): Promise<void> {
  const address = URL.parse(url)
  if (!address || !/^rediss?:$/.test(address.protocol)) {
    throw new StartError('REDIS_URL is not a Redis URL. Example: redis://127.0.0.1:6379.')
  }
  const server = `The Redis server of REDIS_URL (${address.host})`
  const redis = new Redis(url, {
    lazyConnect: true,
    connectTimeout: timeoutMs,
    commandTimeout: timeoutMs,
    retryStrategy: () => null,
    maxRetriesPerRequest: 0,
    enableOfflineQueue: false,
  })
  let connectionError = ''
  redis.on('error', (error) => {
    connectionError = error.message
  })
  try {
    await redis.connect()
    await redis.set(`${options.prefix}:start-check`, 1, 'PX', keyTtlMs)
    const version = /redis_version:(\S+)/.exec(await redis.info('server'))?.[1] ?? ''
    if (version !== '' && isOldRedis(version)) {
      throw new StartError(`${server} has version ${version}: at least ${oldestRedisVersion} is required.`)
    }
    await checkEvictionPolicy({
      redis,
      log: { warn: (_: unknown, text?: string) => options.print(`${text}.`) },
    })
  } catch (error) {
    if (error instanceof StartError) throw error
    const message = error instanceof Error ? error.message : String(error)
    // `connect` fails with "Connection is closed."; the event before it has the reason.
    throw new StartError(
      problemOf(server, /Connection is closed/.test(message) ? connectionError || message : message),
    )
  } finally {
    redis.disconnect()
  }
}

/** @param message Redis' reply, or why there is none */
function problemOf(server: string, message: string): string {
  if (/maxmemory-policy/.test(message)) return message
  if (/NOAUTH/.test(message)) {
    return `${server} needs a password: write REDIS_URL as redis://:PASSWORD@HOST:PORT.`
  }
  if (/WRONGPASS|invalid password|without any password configured/.test(message)) {
    return `${server} refuses the user or the password in REDIS_URL.`
  }
  if (/READONLY/.test(message))
    return `${server} is a replica, which refuses writes: name its primary in REDIS_URL.`
  if (/LOADING/.test(message)) return `${server} is still loading its data: try again in a moment.`
  if (/MISCONF|OOM|NOPERM|NOREPLICAS/.test(message))
    return `${server} refuses writes: ${message.replace(/\.$/, '')}.`
  return `${server} does not respond: ${message.replace(/\.$/, '')}. Start it, correct REDIS_URL, or leave it out: then Millrace starts its own.`
}
