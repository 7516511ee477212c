import { readOptions, usage } from './options.ts'
import { readyMessage } from './ready-message.ts'
import { privateUmask } from './setup/private-files.ts'
import { StartError } from './setup/start-error.ts'

/**
 * The terminal sends Ctrl-C to all processes, and npm forwards it as well. Two signals within this time, in ms,
 * count as one.
 */
const duplicateSignalMs = 500

const print = (line: string) => process.stderr.write(`${line}\n`)

// Each service adds an `exit` listener and each signal has a handler: more than Node's default limit of 10.
process.setMaxListeners(100)

// All files under the data directory are private, also those of services and of Redis, which inherit this.
process.umask(privateUmask)

/** Removes the user's AWS settings, so that neither our clients nor the services use them. */
function removeAwsSettings(environment: NodeJS.ProcessEnv) {
  for (const name of Object.keys(environment)) if (name.startsWith('AWS_')) delete environment[name]
  environment['AWS_CONFIG_FILE'] = '/dev/null'
  environment['AWS_SHARED_CREDENTIALS_FILE'] = '/dev/null'
  environment['AWS_EC2_METADATA_DISABLED'] = 'true'
  return environment
}

/** Returns a signal that aborts at the first SIGINT, SIGTERM or SIGHUP. A later one exits immediately. */
function abortOnSignal() {
  const stopping = new AbortController()
  let firstAt: number | undefined
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      firstAt ??= performance.now()
      if (stopping.signal.aborted && performance.now() - firstAt > duplicateSignalMs) process.exit(1)
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
  // Imported here because the AWS clients take most of a second to load. A wrong option is reported before that.
  const { startMillrace } = await import('./millrace.ts')
  const stopping = abortOnSignal()
  const stopped = new Promise<void>((resolve) => stopping.addEventListener('abort', () => resolve()))
  const environment = removeAwsSettings(process.env)
  const redisUrl = environment['REDIS_URL'] || undefined
  try {
    const millrace = await startMillrace({ ...options, environment, redisUrl, print, stopping })
    process.stdout.write(readyMessage({ url: millrace.url, directory: options.directory }))
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
  print(error.message)
  process.exitCode = error.exitCode
}
