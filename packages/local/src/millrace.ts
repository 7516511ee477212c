import { isIP } from 'node:net'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { publishPeriodMs } from '@millrace/shared/fleet/queue-load.ts'
import {
  apiScaling,
  type FleetLimits,
  type ScalingPolicy,
  workerScaling,
} from '@millrace/shared/fleet/scaling-policy.ts'
import { findPresetsFile } from '@millrace/shared/presets/load-presets-file.ts'
import { startLocalCloud } from './cloud/local-cloud.ts'
import { superviseRedis } from './cloud/redis-supervisor.ts'
import { countActiveJobs } from './fleet/active-jobs.ts'
import { startAutoscaling } from './fleet/autoscaling.ts'
import { startLoadBalancer } from './fleet/load-balancer.ts'
import { createServiceFleet, type ServiceEvents } from './fleet/service-fleet.ts'
import { startServiceProcess } from './fleet/service-process.ts'
import type { Options } from './options.ts'
import { checkSettings } from './setup/check-settings.ts'
import { buildConsole } from './setup/console-build.ts'
import { lockDataDirectory } from './setup/data-directory.ts'
import { readLocalOrigins } from './setup/local-origins.ts'
import { readLocalSecrets } from './setup/local-secrets.ts'
import { writeServiceEnvironment } from './setup/service-environment.ts'
import { toStartError } from './setup/to-start-error.ts'

const packages = join(import.meta.dirname, '../..')
const apiEntry = join(packages, 'api/src/main.ts')
const workerEntry = join(packages, 'worker/src/main.ts')

/** Time for a worker to finish its active jobs and to hand back the others, in milliseconds. */
const workerStopTimeoutMs = 30_000
/** Hosts that only users of this machine can connect to. */
const loopbackHosts = ['127.0.0.1', '::1', 'localhost']

/**
 * Returns the names under which other machines reach this one, if they can. Its addresses are missing: instances know the
 * address that a client has connected to.
 */
function ownNames(host: string): string[] {
  if (loopbackHosts.includes(host)) return []
  const name = hostname().toLowerCase()
  // RFC 6762: the name that this machine has in its network without a DNS server.
  const names = [name, `${name.split('.')[0]}.local`, ...(isIP(host) ? [] : [host])]
  return names.filter((candidate) => /^[a-z0-9-]+(\.[a-z0-9-]+)*$/i.test(candidate))
}

export type Millrace = Awaited<ReturnType<typeof startMillrace>>

/**
 * Starts the whole system on this machine: Redis, S3, SQS, API instances behind a load balancer, and workers.
 * @param options.environment variables that the services inherit; those set here take precedence
 * @param options.redisUrl a Redis server to use instead of starting one
 * @param options.print prints one line for the user
 * @param options.stopping aborts the start
 * @returns the origin of console and API; `failed`, which rejects if a part cannot be restarted;
 *   `countActiveJobs()`; and `close()`, which stops everything in reverse order
 * @throws StartError after having stopped the parts that were already started
 */
export async function startMillrace(
  options: Options & {
    environment: NodeJS.ProcessEnv
    redisUrl: string | undefined
    print: (line: string) => void
    stopping: AbortSignal
  },
) {
  const { directory, print, stopping } = options
  const allowedOrigins = readLocalOrigins(options.environment)
  const presetsFile = findPresetsFile(join(packages, '..'), options.environment)
  const presets = presetsFile === undefined ? {} : { PRESETS_FILE: presetsFile }
  checkSettings({ ...options.environment, ...presets })
  const closers: (() => unknown)[] = []
  const failures: Promise<never>[] = []
  const close = async () => {
    for (const closePart of closers.splice(0).reverse()) await closePart()
  }
  /** Waits until a part has started and registers it for `close()`, even if the start was aborted meanwhile. */
  const waitFor = async <T>(starting: Promise<T>, closePart: (part: T) => unknown) => {
    const part = await starting
    closers.push(() => closePart(part))
    stopping.throwIfAborted()
    return part
  }

  try {
    const lock = lockDataDirectory(directory)
    closers.push(lock.release)
    const balancer = await waitFor(startLoadBalancer(options), (part) => part.close())
    const redisPrefix = options.environment['REDIS_PREFIX'] || 'millrace'
    const { sessionKeys, redisPassword } = await readLocalSecrets(directory)
    const redis = await waitFor(
      superviseRedis({ ...options, password: redisPassword, prefix: redisPrefix }),
      (part) => part.close(),
    )
    failures.push(redis.failed)
    const origin = `http://localhost:${balancer.port}`
    const origins = [origin, `http://127.0.0.1:${balancer.port}`]
    const cloud = await waitFor(
      startLocalCloud({ directory, redisUrl: redis.url, origins, allowedOrigins }),
      (part) => part.close(),
    )
    const variables = { ...cloud.environment, REDIS_PREFIX: redisPrefix }
    closers.push(
      await writeServiceEnvironment(directory, { ...variables, ...presets, PUBLIC_ORIGIN: origin }),
    )
    const consoleDirectory = await buildConsole(print)
    const shared = {
      ...options.environment,
      ...variables,
      ...presets,
      PUBLISH_PERIOD_MS: String(Math.round(publishPeriodMs / options.speed)),
      LOG_LEVEL: options.environment['LOG_LEVEL'] || 'info',
      // The receiver that is being written runs on this machine as well.
      WEBHOOK_ALLOWED_NETWORKS: options.environment['WEBHOOK_ALLOWED_NETWORKS'] || '127.0.0.0/8,::1',
      // Modules that have not changed since the last start are not compiled again.
      NODE_COMPILE_CACHE: options.environment['NODE_COMPILE_CACHE'] ?? join(directory, 'compile-cache'),
    }
    const common = { logDirectory: join(directory, 'logs'), print, verbose: options.verbose }

    const startApi = (name: string, events: ServiceEvents) => {
      let port: number | undefined
      const removeFromBalancer = () => {
        if (port !== undefined) balancer.remove(port)
        port = undefined
      }
      const service = startServiceProcess({
        ...common,
        name,
        entry: apiEntry,
        environment: {
          ...shared,
          HOST: '127.0.0.1',
          PORT: '0',
          PUBLIC_ORIGIN: origin,
          ALLOWED_HOSTS: [...ownNames(options.host), options.environment['ALLOWED_HOSTS']].join(','),
          PROXY_PROTOCOL: 'true',
          SESSION_KEYS: sessionKeys.join(','),
          CONSOLE_DIRECTORY: consoleDirectory,
          INSTANCE: name,
          ANONYMOUS_UPLOADS: options.environment['ANONYMOUS_UPLOADS'] || 'on',
          OPEN_ADMIN: options.environment['OPEN_ADMIN'] || String(loopbackHosts.includes(options.host)),
        },
        onReady(readyPort) {
          port = readyPort
          if (port !== undefined) balancer.add(port, name)
          events.onReady()
        },
        onExit() {
          removeFromBalancer()
          events.onExit()
        },
      })
      const stop = () => {
        removeFromBalancer()
        return service.stop()
      }
      return { ...service, stop }
    }
    const startWorker = (name: string, events: ServiceEvents) =>
      startServiceProcess({
        ...common,
        name,
        entry: workerEntry,
        environment: { ...shared, INSTANCE: name },
        stopTimeoutMs: workerStopTimeoutMs,
        ...events,
      })

    const startFleet = (
      kind: string,
      { min }: FleetLimits,
      { warmupMs }: ScalingPolicy,
      start: typeof startWorker,
    ) => {
      const fleet = createServiceFleet({ kind, size: min, warmupMs: warmupMs / options.speed, start })
      closers.push(fleet.close)
      failures.push(fleet.failed)
      return fleet
    }
    const api = startFleet('api', options.api, apiScaling, startApi)
    const workers = startFleet('worker', options.workers, workerScaling, startWorker)

    const aborted = Promise.withResolvers<never>()
    stopping.addEventListener('abort', () => aborted.reject(stopping.reason), { once: true })
    await Promise.race([Promise.all([api.ready, workers.ready]), aborted.promise, ...failures])
    const autoscaling = startAutoscaling({
      redisUrl: redis.url,
      prefix: shared.REDIS_PREFIX,
      speed: options.speed,
      workers: { fleet: workers, limits: options.workers },
      api: { fleet: api, limits: options.api },
      print,
    })
    closers.push(autoscaling.close)
    return {
      url: origin,
      failed: Promise.race(failures),
      countActiveJobs: () => countActiveJobs({ redisUrl: redis.url, prefix: shared.REDIS_PREFIX }),
      close,
    }
  } catch (error) {
    await close()
    throw toStartError(error, directory)
  }
}
