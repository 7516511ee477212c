import { createServer } from 'node:net'
import { join } from 'node:path'
import { checkStage } from './cloud/check-stage.ts'
import { superviseRedis } from './cloud/redis-supervisor.ts'
import { startServiceProcess } from './fleet/service-process.ts'
import { buildConsole } from './setup/console-build.ts'
import { lockDataDirectory } from './setup/data-directory.ts'
import { hasErrorCode } from './setup/error-code.ts'
import { readLocalSecrets } from './setup/local-secrets.ts'
import { StartError } from './setup/start-error.ts'
import { toStartError } from './setup/to-start-error.ts'

const packages = join(import.meta.dirname, '../..')
/** Time for a worker to finish its active jobs and to hand back the others, in ms. */
const workerStopTimeoutMs = 30_000

/**
 * Starts what `sst dev` runs on the developer's machine: Redis, one API instance with the console, and one worker, which
 * use the real bucket and queue of a stage.
 *
 * @param options.environment of the services, from stacks/dev.ts: BUCKET, EVENTS_QUEUE_URL, PORT, PUBLIC_ORIGIN …
 *   REDIS_URL names a Redis server to use instead of starting one
 * @param options.directory stores the data of Redis, the logs and what is compiled
 * @param options.print prints one line for the user
 * @param options.stopping aborts the start
 * @returns the origin of console and API; `failed`, which rejects if a part cannot be restarted; and `close()`
 * @throws StartError with a sentence that says what is missing, after having stopped the parts that were already started
 */
export async function startDev(options: {
  environment: NodeJS.ProcessEnv
  directory: string
  print: (line: string) => void
  stopping: AbortSignal
}) {
  const { environment, directory, print, stopping } = options
  const { BUCKET: bucket, EVENTS_QUEUE_URL: queueUrl, PORT: port, PUBLIC_ORIGIN: origin } = environment
  if (!bucket || !queueUrl || !port || !origin)
    throw new StartError('This command is run by `npx sst dev`, which says what bucket and queue to use.', 2)
  const closers: (() => unknown)[] = []
  const close = async () => {
    for (const closePart of closers.splice(0).reverse()) await closePart()
  }
  try {
    await checkPort(Number(port))
    await checkStage({ bucket, queueUrl })
    stopping.throwIfAborted()
    const lock = lockDataDirectory(directory)
    closers.push(lock.release)
    const { redisPassword: password } = await readLocalSecrets(directory)
    const prefix = environment['REDIS_PREFIX'] || 'millrace'
    const redisUrl = environment['REDIS_URL'] || undefined
    const redis = await superviseRedis({ directory, redisUrl, password, prefix, print })
    closers.push(redis.close)
    stopping.throwIfAborted()
    const consoleDirectory = await buildConsole(print)
    const shared = {
      ...environment,
      REDIS_URL: redis.url,
      REDIS_PREFIX: prefix,
      LOG_LEVEL: environment['LOG_LEVEL'] || 'info',
      // Processes cannot share a port: each gets a free one, which its log names.
      ...(environment['METRICS_PORT'] && { METRICS_PORT: '0' }),
      NODE_COMPILE_CACHE: environment['NODE_COMPILE_CACHE'] ?? join(directory, 'compile-cache'),
    }
    const common = { logDirectory: join(directory, 'logs'), print, verbose: true }
    const api = startServiceProcess({
      ...common,
      name: 'api',
      entry: join(packages, 'api/src/main.ts'),
      environment: {
        ...shared,
        INSTANCE: 'api',
        HOST: '127.0.0.1',
        CONSOLE_DIRECTORY: consoleDirectory,
        OPEN_ADMIN: environment['OPEN_ADMIN'] || 'true',
      },
    })
    closers.push(api.stop)
    const worker = startServiceProcess({
      ...common,
      name: 'worker',
      entry: join(packages, 'worker/src/main.ts'),
      environment: { ...shared, INSTANCE: 'worker' },
      stopTimeoutMs: workerStopTimeoutMs,
    })
    closers.push(worker.stop)
    const failed = Promise.race([redis.failed, api.failed, worker.failed])
    failed.catch(() => undefined)
    const aborted = Promise.withResolvers<never>()
    stopping.addEventListener('abort', () => aborted.reject(stopping.reason), { once: true })
    await Promise.race([Promise.all([api.ready, worker.ready]), aborted.promise, failed])
    return { url: origin, failed, close }
  } catch (error) {
    await close()
    throw toStartError(error, directory)
  }
}

/**
 * The bucket's CORS rules name the console's origin, so another port would not do.
 *
 * @throws StartError if another program listens on the port
 */
async function checkPort(port: number): Promise<void> {
  const server = createServer()
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(port, '127.0.0.1', resolve)
    })
  } catch (error) {
    if (!hasErrorCode(error, 'EADDRINUSE')) throw error
    throw new StartError(
      `Port ${port} is taken by another program, perhaps by \`npm start\`: stop it, then start \`npx sst dev\` again. The bucket accepts pages of this port only.`,
    )
  }
  await new Promise<void>((resolve) => server.close(() => resolve()))
}
