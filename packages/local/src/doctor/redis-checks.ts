import { infoFields, readRedisMemory } from '@millrace/shared/connections/redis-memory.ts'
import { createHeartbeats } from '@millrace/shared/fleet/heartbeats.ts'
import type { Redis } from 'ioredis'
import { isOldRedis, oldestRedisVersion } from '../cloud/redis-version.ts'
import { clockFinding } from './clock-checks.ts'
import { type Check, error, type Finding, note, ok, warning } from './finding.ts'

const highShare = 0.8
const criticalShare = 0.95

/** The checks of Redis itself, over a connection. @param deps.url REDIS_URL */
export function redisChecks(deps: { redis: Redis; url: string; prefix: string }): Check[] {
  const { redis, url, prefix } = deps
  return [
    {
      name: 'redis',
      async run() {
        const server = infoFields(await redis.info('server'))
        const replication = infoFields(await redis.info('replication'))
        return [versionFinding(server), roleFinding(replication), tlsFinding(url)]
      },
    },
    {
      name: 'redis-memory',
      async run() {
        const { usedShare, maxBytes, evictionPolicy } = await readRedisMemory(redis)
        return memoryFindings({ usedShare, maxBytes, evictionPolicy })
      },
    },
    {
      name: 'redis-clock',
      async run() {
        const startedAt = Date.now()
        const [seconds = 0] = await redis.time()
        return [clockFinding('Redis', seconds * 1000, startedAt)]
      },
    },
    {
      name: 'instances',
      async run() {
        const instances = await createHeartbeats({ redis, prefix }).list()
        return (['api', 'worker'] as const).map((tier): Finding => {
          const serving = instances.filter((one) => one.tier === tier && one.state === 'serving').length
          const name = tier === 'api' ? 'API instance' : 'worker'
          if (serving > 0) return ok(`${serving} ${name}${serving === 1 ? '' : 's'} running.`)
          return error(`No ${name} is running.`, 'Start one; on AWS, look into the log group of the tier.')
        })
      },
    },
  ]
}

function versionFinding(server: Map<string, string>): Finding {
  const version = server.get('valkey_version') ?? server.get('redis_version') ?? 'unknown'
  const name = server.has('valkey_version') ? 'Valkey' : 'Redis'
  if (isOldRedis(version)) {
    return error(
      `${name} ${version} is too old: BullMQ needs ${oldestRedisVersion}.`,
      'Install a newer Redis or Valkey.',
    )
  }
  return ok(`${name} ${version} is new enough.`)
}

function roleFinding(replication: Map<string, string>): Finding {
  if (replication.get('role') === 'master') return ok('Redis accepts writes.')
  return error(
    'REDIS_URL leads to a replica, which refuses writes.',
    'Set REDIS_URL to the address of the primary.',
  )
}

function tlsFinding(url: string): Finding {
  const { protocol, hostname, password } = new URL(url)
  const isLoopback = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(hostname)
  if (protocol === 'rediss:') return ok('The connection to Redis is encrypted.')
  if (isLoopback) return note('Redis runs on this machine, without TLS.')
  return warning(
    `The connection to Redis at ${hostname} is not encrypted${password === '' ? ', and has no password' : ''}: sessions and jobs can be read on the way.`,
    'Use a rediss:// URL, with a password.',
  )
}

function memoryFindings(state: {
  usedShare: number
  maxBytes: number
  evictionPolicy: string | undefined
}): Finding[] {
  const { usedShare, maxBytes, evictionPolicy } = state
  const findings: Finding[] = []
  if (evictionPolicy !== 'noeviction' && maxBytes > 0) {
    findings.push(
      error(
        `Redis deletes keys when it is full (maxmemory-policy ${evictionPolicy ?? 'unknown'}): jobs and erasures would be lost.`,
        'Set maxmemory-policy to noeviction, in redis.conf or in the parameter group of ElastiCache.',
      ),
    )
  }
  const percent = Math.round(usedShare * 100)
  const remedy = 'Raise maxmemory, or choose a larger node (docs/deploy.md).'
  if (usedShare >= criticalShare)
    findings.push(error(`Redis is ${percent} % full: writes fail soon.`, remedy))
  else if (usedShare >= highShare) findings.push(warning(`Redis is ${percent} % full.`, remedy))
  if (findings.length > 0) return findings
  return [
    maxBytes > 0
      ? ok(`Redis is ${percent} % full and deletes nothing.`)
      : ok('Redis has no memory limit and deletes nothing.'),
  ]
}
