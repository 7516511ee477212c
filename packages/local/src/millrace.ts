import { join } from 'node:path'
import { publishPeriodMs } from '@millrace/shared/fleet/queue-load.ts'
import { apiScaling, workerScaling } from '@millrace/shared/fleet/scaling-policy.ts'
import { startLocalCloud } from './cloud/local-cloud.ts'
import { superviseRedis } from './cloud/redis-supervisor.ts'
import { startAutoscaling } from './fleet/autoscaling.ts'
import { startLoadBalancer } from './fleet/load-balancer.ts'
import { createServiceFleet, type ServiceEvents } from './fleet/service-fleet.ts'
import { startServiceProcess } from './fleet/service-process.ts'
import type { Options } from './options.ts'
import { buildConsole } from './setup/console-build.ts'
import { lockDataDirectory } from './setup/data-directory.ts'
import { readLocalSecrets } from './setup/local-secrets.ts'

const packages = join(import.meta.dirname, '../..')
const apiEntry = join(packages, 'api/src/main.ts')
const workerEntry = join(packages, 'worker/src/main.ts')

/** A worker may take as long as this for the jobs under way, and hand back what is left; in milliseconds. */
const workerStopLimitMs = 30_000
/** Whom the services call by these cannot be anybody but this machine's users. */
const loopback = ['127.0.0.1', '::1', 'localhost']

export type Millrace = Awaited<ReturnType<typeof startMillrace>>

/**
 * Starts the whole system on this machine: Redis, S3, SQS, the API instances behind a balancer, the workers.
 * @param options.environment what the services inherit besides what they are told
 * @param options.say shows one line to the user
 * @param options.stopping aborts a start that is under way
 * @returns the console's address; `failed`, which rejects when something cannot be kept running; and
 *   `close()`, which stops everything in the reverse order and leaves nothing behind
 * @throws StartError after having stopped what was already started
 */
export async function startMillrace(
  options: Options & {
    environment: NodeJS.ProcessEnv
    redisUrl: string | undefined
    say: (line: string) => void
    stopping: AbortSignal
  },
) {
  const { directory, say, stopping } = options
  const opened: (() => unknown)[] = []
  const failures: Promise<never>[] = []
  const close = async () => {
    for (const closeOne of opened.splice(0).reverse()) await closeOne()
  }
  /** Keeps what was opened for closing, also when the wait for it ends in an interruption. */
  const open = async <T>(opening: Promise<T>, closeOne: (part: T) => unknown) => {
    const part = await opening
    opened.push(() => closeOne(part))
    stopping.throwIfAborted()
    return part
  }

  try {
    const lock = lockDataDirectory(directory)
    opened.push(lock.release)
    const balancer = await open(startLoadBalancer(options), (part) => part.close())
    const redis = await open(superviseRedis(options), (part) => part.close())
    failures.push(redis.failed)
    const origin = `http://localhost:${balancer.port}`
    const origins = [origin, `http://127.0.0.1:${balancer.port}`]
    const cloud = await open(startLocalCloud({ directory, redisUrl: redis.url, origins }), (part) =>
      part.close(),
    )
    const consoleDirectory = await buildConsole(say)
    const { sessionKeys } = await readLocalSecrets(directory)
    const shared = {
      ...options.environment,
      ...cloud.environment,
      REDIS_PREFIX: options.environment['REDIS_PREFIX'] || 'millrace',
      PUBLISH_PERIOD_MS: String(Math.round(publishPeriodMs / options.speed)),
      LOG_LEVEL: options.environment['LOG_LEVEL'] ?? 'info',
      // Spares each start the compilation of what has not changed since the last one.
      NODE_COMPILE_CACHE: options.environment['NODE_COMPILE_CACHE'] ?? join(directory, 'compile-cache'),
    }
    const common = { logDirectory: join(directory, 'logs'), say, verbose: options.verbose }

    const startApi = (name: string, events: ServiceEvents) => {
      let port: number | undefined
      const leaveBalancer = () => {
        if (port !== undefined) balancer.remove(port)
        port = undefined
      }
      const service = startServiceProcess({
        ...common,
        name,
        entry: apiEntry,
        readyEvent: 'listening',
        environment: {
          ...shared,
          HOST: '127.0.0.1',
          PORT: '0',
          PUBLIC_ORIGIN: origin,
          SESSION_KEYS: sessionKeys.join(','),
          CONSOLE_DIRECTORY: consoleDirectory,
          INSTANCE: name,
          OPEN_ADMIN: options.environment['OPEN_ADMIN'] || String(loopback.includes(options.host)),
        },
        onReady(readyPort) {
          port = readyPort
          if (port !== undefined) balancer.add(port)
          events.onReady()
        },
        onGone() {
          leaveBalancer()
          events.onGone()
        },
      })
      const stop = () => {
        leaveBalancer()
        return service.stop()
      }
      return { ...service, stop }
    }
    const startWorker = (name: string, events: ServiceEvents) =>
      startServiceProcess({
        ...common,
        name,
        entry: workerEntry,
        readyEvent: 'started',
        environment: { ...shared, INSTANCE: name },
        stopLimitMs: workerStopLimitMs,
        ...events,
      })

    const api = createServiceFleet({
      kind: 'api',
      size: options.api.min,
      warmupMs: apiScaling.warmupMs / options.speed,
      start: startApi,
    })
    opened.push(api.close)
    const workers = createServiceFleet({
      kind: 'worker',
      size: options.workers.min,
      warmupMs: workerScaling.warmupMs / options.speed,
      start: startWorker,
    })
    opened.push(workers.close)
    failures.push(api.failed, workers.failed)

    const interrupted = Promise.withResolvers<never>()
    stopping.addEventListener('abort', () => interrupted.reject(stopping.reason), { once: true })
    await Promise.race([Promise.all([api.ready, workers.ready]), interrupted.promise, ...failures])
    const autoscaling = startAutoscaling({
      redisUrl: redis.url,
      prefix: shared.REDIS_PREFIX,
      speed: options.speed,
      workers: { fleet: workers, limits: options.workers },
      api: { fleet: api, limits: options.api },
      say,
    })
    opened.push(autoscaling.close)
    return { url: origin, failed: Promise.race(failures), close }
  } catch (error) {
    await close()
    throw error
  }
}
