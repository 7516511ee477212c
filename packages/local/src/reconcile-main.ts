import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { readServiceEnvironment } from './setup/service-environment.ts'

const usage = `Usage: npm run reconcile -- [options]

Compares the whole bucket with Redis now, corrects what differs, and prints what was found. Workers do so once a day.

  --dry-run    change nothing
  --all        also read manifests that an earlier run has verified
  --ids N      name up to N uploads of each kind (default 10)
  --data DIR   data directory of the running \`npm start\` (default .millrace)
  --help       print this text and exit

With BUCKET in the environment, the variables of a worker are used instead (.env.example), for example on AWS.`

const worker = join(import.meta.dirname, '../../worker/src/reconcile-main.ts')

/** Returns the environment of the worker's command, or undefined if there is nothing to connect to. */
async function environmentOf(directory: string): Promise<NodeJS.ProcessEnv | undefined> {
  if (process.env['BUCKET']) return process.env
  const running = await readServiceEnvironment(directory)
  if (!running) return undefined
  // The user's own AWS settings are for another account.
  const own = Object.entries(process.env).filter(([name]) => !name.startsWith('AWS_'))
  return { ...Object.fromEntries(own), ...running }
}

function readOptions() {
  return parseArgs({
    options: {
      'dry-run': { type: 'boolean', default: false },
      all: { type: 'boolean', default: false },
      ids: { type: 'string', default: '10' },
      data: { type: 'string', default: '.millrace' },
      help: { type: 'boolean', default: false },
    },
  }).values
}

/** @returns the exit code */
async function main(): Promise<number> {
  let options: ReturnType<typeof readOptions>
  try {
    options = readOptions()
  } catch {
    process.stderr.write(`${usage}\n`)
    return 2
  }
  if (options.help) {
    process.stdout.write(`${usage}\n`)
    return 0
  }
  const environment = await environmentOf(options.data)
  if (!environment) {
    process.stderr.write(
      `Millrace does not run on ${options.data}: start it with \`npm start\`, or set BUCKET, REDIS_URL and the other variables of a worker.\n`,
    )
    return 2
  }
  const flags = [...(options['dry-run'] ? ['--dry-run'] : []), ...(options.all ? ['--all'] : [])]
  const child = spawn(process.execPath, [worker, ...flags, '--ids', options.ids], {
    stdio: 'inherit',
    env: environment,
  })
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => child.kill(signal))
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code) => resolve(code ?? 1))
  })
}

process.exitCode = await main()
