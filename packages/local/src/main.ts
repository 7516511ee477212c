import { readOptions, usage } from './options.ts'
import { readyMessage } from './ready-message.ts'
import { abortOnSignal } from './setup/abort-on-signal.ts'
import { loadEnvFile } from './setup/env-file.ts'
import { privateUmask } from './setup/private-files.ts'
import { withStartErrors } from './setup/with-start-errors.ts'

// A terminal that was closed takes no output, but the services still have to stop in order.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {})

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

/** @returns the exit code */
async function main(): Promise<number> {
  const options = readOptions(process.argv.slice(2), () => {
    const { HOST } = loadEnvFile(process.env)
    // HOST of the environment is ignored: tcsh and conda set it, to names that are not meant as addresses to listen on.
    return { PORT: process.env['PORT'], HOST }
  })
  if (!options) {
    process.stdout.write(`${usage}\n`)
    return 0
  }
  // Imported here because the AWS clients take most of a second to load. A wrong option is reported before that.
  const { startMillrace } = await import('./millrace.ts')
  const stopping = abortOnSignal(print)
  const stopped = new Promise<void>((resolve) => stopping.addEventListener('abort', () => resolve()))
  const environment = removeAwsSettings(process.env)
  const redisUrl = environment['REDIS_URL'] || undefined
  const onAbortedStart = () => print(stoppingMessage(0))
  stopping.addEventListener('abort', onAbortedStart)
  try {
    const millrace = await startMillrace({ ...options, environment, redisUrl, print, stopping })
    stopping.removeEventListener('abort', onAbortedStart)
    process.stdout.write(readyMessage({ url: millrace.url, directory: options.directory }))
    try {
      await Promise.race([stopped, millrace.failed])
      print(stoppingMessage(await millrace.countActiveJobs()))
    } finally {
      await millrace.close()
    }
  } catch (error) {
    if (!stopping.aborted) throw error
  }
  print('Stopped.')
  return 0
}

/** @param jobs how many jobs are running; undefined if it is not known */
function stoppingMessage(jobs: number | undefined): string {
  if (!jobs) return 'Stopping…'
  return `Stopping… ${jobs === 1 ? '1 job is' : `${jobs} jobs are`} finishing. Ctrl-C stops at once.`
}

process.exitCode = await withStartErrors(main)
