import { createHash, randomBytes } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { startServiceProcess } from '@millrace/local/fleet/service-process.ts'
import { signalProcess } from '@millrace/local/setup/process-signals.ts'
import { processEnvironment } from '../support/process-environment.ts'
import { type CloudProcess, startCloudProcess } from './cloud-process.ts'
import { createFakeClocks } from './fake-clocks.ts'
import { presetsJson } from './files.ts'
import { createHttpFaults } from './http-faults.ts'
import { createRandom } from './random.ts'
import { startRedisPair } from './redis-pair.ts'

const apiEntry = fileURLToPath(import.meta.resolve('@millrace/api/main.ts'))
const workerEntry = fileURLToPath(import.meta.resolve('@millrace/worker/main.ts'))

/** The instances that clients use, and the workers. Four Node processes keep two cores busy. */
const instances = { api: ['api-1', 'api-2'], worker: ['worker-1', 'worker-2'] } as const
type Tier = keyof typeof instances

/** An owner of uploads: an API key. */
export type Owner = { name: string; key: string }

/** An exit that no fault caused. */
export type Crash = { service: string; atMs: number }

type Service = ReturnType<typeof startServiceProcess> & {
  tier: Tier
  /** Of an API instance that runs. */
  url: string | undefined
  /** Whether the next exit is a fault's. */
  killed: boolean
}

export const redisPrefix = 'chaos'

export type Fleet = Awaited<ReturnType<typeof startFleet>>

/**
 * Starts the whole system of a chaos run as real processes: Redis with a replica, local S3 and SQS, API instances and
 * workers. Each service has its own proxies, so a fault knows which service it meets.
 *
 * @param options.directory of all data and logs
 * @param options.owners get API keys
 * @param options.sourcePort of the server that imports download from
 * @param options.environment replaces variables of the services
 * @param options.clockLibrary lets the clocks of services jump
 */
export async function startFleet(options: {
  directory: string
  redisProgram: string
  owners: Owner[]
  sourcePort: number
  seed: number
  environment: NodeJS.ProcessEnv
  clockLibrary: string | undefined
  print: (line: string) => void
}) {
  const { directory, print } = options
  const logDirectory = join(directory, 'logs')
  mkdirSync(logDirectory, { recursive: true })
  const closers: (() => Promise<unknown>)[] = []
  const close = async () => {
    for (const closePart of closers.splice(0).reverse()) await closePart()
  }
  const crashes: Crash[] = []
  const staleServices: string[] = []
  let closing = false

  try {
    const redis = await startRedisPair({ directory, program: options.redisProgram })
    closers.push(redis.close)
    const cloud = await startCloudProcess({ directory: join(directory, 'cloud'), logDirectory })
    closers.push(cloud.close)
    const s3Faults = createHttpFaults({ endpoint: cloud.s3Endpoint, random: createRandom(options.seed + 1) })
    closers.push(s3Faults.close)
    const sqsFaults = createHttpFaults({
      endpoint: cloud.sqsEndpoint,
      random: createRandom(options.seed + 2),
    })
    closers.push(sqsFaults.close)
    const clientsS3 = await s3Faults.listen('client')
    const common = commonVariables(cloud, options)
    const clocks = createFakeClocks({ library: options.clockLibrary, directory })

    const startService = async (tier: Tier, name: string): Promise<Service> => {
      const sqsEndpoint = await sqsFaults.listen(name)
      const environment = {
        ...common,
        ...(await clocks.variables(name)),
        INSTANCE: name,
        REDIS_URL: await redis.listen(name),
        AWS_ENDPOINT_URL_S3: await s3Faults.listen(name),
        AWS_ENDPOINT_URL_SQS: sqsEndpoint,
        EVENTS_QUEUE_URL: new URL(new URL(cloud.queueUrl).pathname, sqsEndpoint).href,
        ...(tier === 'api' && { S3_PUBLIC_ENDPOINT: clientsS3 }),
        ...options.environment,
      }
      const process = startServiceProcess({
        name,
        logDirectory,
        entry: tier === 'api' ? apiEntry : workerEntry,
        environment,
        // Its log has everything. A chaos run is full of warnings.
        print: () => undefined,
        onReady(port) {
          service.url = port === undefined ? undefined : `http://127.0.0.1:${port}`
          service.killed = false
        },
        onExit() {
          service.url = undefined
          if (!service.killed && !closing) crashes.push({ service: name, atMs: Date.now() })
        },
      })
      const service: Service = { ...process, tier, url: undefined, killed: false }
      service.failed.catch((error: unknown) => {
        print(String(error))
        crashes.push({ service: name, atMs: Date.now() })
      })
      closers.push(() => {
        const stopped = service.stop()
        // A drain has nothing to save any more.
        signal(service, 'SIGKILL')
        return stopped
      })
      return service
    }

    const services = new Map<string, Service>()
    for (const tier of ['api', 'worker'] as const) {
      for (const name of instances[tier]) services.set(name, await startService(tier, name))
    }
    await Promise.all([...services.values()].map(({ ready }) => ready))

    const find = (name: string) => {
      const service = services.get(name)
      if (!service) throw new Error(`No service has the name ${name}.`)
      return service
    }
    let turn = 0
    return {
      logDirectory,
      cloud,
      redis,
      s3Faults,
      sqsFaults,
      crashes,
      /** Services whose connections to a demoted Redis had to be closed for them. */
      staleServices,
      services: (tier: Tier): readonly string[] => instances[tier],
      /** Kills a service. Its supervisor starts it again. */
      kill: (name: string) => signal(find(name), 'SIGKILL'),
      /** Stops a service for a while, as a machine that swaps or a virtual machine that is moved. */
      async pause(name: string, ms: number): Promise<void> {
        const service = find(name)
        signal(service, 'SIGSTOP')
        await delay(ms)
        signal(service, 'SIGCONT')
      },
      /** Returns the URL of the next API instance that runs, round robin as a load balancer. */
      async nextApi(): Promise<string> {
        for (;;) {
          const running = [...services.values()].flatMap(({ tier, url }) =>
            tier === 'api' && url ? [url] : [],
          )
          const url = running[turn++ % Math.max(1, running.length)]
          if (url !== undefined) return url
          await delay(100)
        }
      },
      /** Makes the clock of a service wrong by some seconds. */
      setClock: clocks.setOffset,
      async close(): Promise<void> {
        closing = true
        await close()
      },
    }
  } catch (error) {
    closing = true
    await close()
    throw error
  }
}

/** Sends a signal to a service and its children: a worker decodes in children. */
function signal(service: Service, kind: NodeJS.Signals): void {
  const pid = service.pid()
  if (pid === undefined) return
  if (kind === 'SIGKILL') service.killed = true
  signalProcess(-pid, kind)
}

function commonVariables(
  cloud: CloudProcess,
  { owners, sourcePort }: { owners: Owner[]; sourcePort: number },
): NodeJS.ProcessEnv {
  const sha256 = (text: string) => createHash('sha256').update(text).digest('hex')
  return {
    ...processEnvironment(),
    ...cloud.environment,
    REDIS_PREFIX: redisPrefix,
    HOST: '127.0.0.1',
    PORT: '0',
    PUBLIC_ORIGIN: 'http://localhost:3000',
    SESSION_KEYS: randomBytes(32).toString('base64'),
    API_KEYS: owners.map(({ name, key }) => `${name}/uploads:read+uploads:write/${sha256(key)}`).join(','),
    PRESETS: presetsJson,
    // All clients have the same address, and few owners send everything.
    RATE_LIMIT_PER_MINUTE: '0',
    RATE_LIMIT_PER_ADDRESS_PER_MINUTE: '0',
    // The machine's cores are shared with the clients, so the event loop is late through no fault of the services.
    MAX_EVENT_LOOP_DELAY_MS: '0',
    IMPORT_ALLOWED_NETWORKS: '127.0.0.0/8',
    IMPORT_ALLOWED_PORTS: String(sourcePort),
  }
}
