import { readOptions, usage } from './options.ts'
import { StartError } from './setup/start-error.ts'

/** npm passes on a Ctrl-C that the terminal has sent to everyone already: two at once are one. */
const sameSignalMs = 500

const say = (line: string) => process.stderr.write(`${line}\n`)

/** Each service and each signal listens to the process once. */
process.setMaxListeners(100)

/** The user's own AWS settings must reach neither our clients nor the services. */
function withoutAws(environment: NodeJS.ProcessEnv) {
  for (const name of Object.keys(environment)) if (name.startsWith('AWS_')) delete environment[name]
  environment['AWS_CONFIG_FILE'] = '/dev/null'
  environment['AWS_SHARED_CREDENTIALS_FILE'] = '/dev/null'
  environment['AWS_EC2_METADATA_DISABLED'] = 'true'
  return environment
}

/** Resolves at the first signal to stop; a later one ends the process without waiting. */
function stopSignal() {
  const stopping = new AbortController()
  let firstAt: number | undefined
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      firstAt ??= performance.now()
      if (stopping.signal.aborted && performance.now() - firstAt > sameSignalMs) process.exit(1)
      stopping.abort()
    })
  }
  return stopping.signal
}

async function main() {
  const options = readOptions(process.argv.slice(2))
  if (!options) {
    process.stdout.write(`${usage}\n`)
    return
  }
  // Loaded late: the AWS clients take most of a second, for which a wrong flag need not wait.
  const { startMillrace } = await import('./millrace.ts')
  const stopping = stopSignal()
  const stopped = new Promise<void>((resolve) => stopping.addEventListener('abort', () => resolve()))
  const environment = withoutAws(process.env)
  const redisUrl = environment['REDIS_URL'] || undefined
  try {
    const millrace = await startMillrace({ ...options, environment, redisUrl, say, stopping })
    process.stdout.write(`Millrace is ready: ${millrace.url}\n`)
    try {
      await Promise.race([stopped, millrace.failed])
    } finally {
      await millrace.close()
    }
  } catch (error) {
    if (!stopping.aborted) throw error
  }
}

try {
  await main()
} catch (error) {
  if (!(error instanceof StartError)) throw error
  say(error.message)
  process.exitCode = error.exitCode
}
