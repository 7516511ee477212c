import { parseArgs } from 'node:util'
import { loadEnvFile } from './setup/env-file.ts'
import { runServiceCommand } from './setup/service-command.ts'
import { withStartErrors } from './setup/with-start-errors.ts'

const usage = `Usage: npm run reconcile -- [options]

Compares the whole bucket with Redis now, corrects what differs, and prints what was found. Workers do so once a day.

  --dry-run    change nothing
  --all        also read manifests that an earlier run has verified
  --ids N      name up to N uploads of each kind (default 10)
  --data DIR   data directory of the running \`npm start\` (default .millrace)
  --help       print this text and exit

With BUCKET in the environment or in .env, the variables of a worker are used instead (.env.example), for example on AWS.`

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
  loadEnvFile(process.env)
  const flags = [...(options['dry-run'] ? ['--dry-run'] : []), ...(options.all ? ['--all'] : [])]
  return runServiceCommand('worker/src/reconcile-main.ts', [...flags, '--ids', options.ids], options.data)
}

process.exitCode = await withStartErrors(main)
