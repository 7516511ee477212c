import { parseArgs } from 'node:util'
import { loadEnvFile } from './setup/env-file.ts'
import { runServiceCommand } from './setup/service-command.ts'
import { withStartErrors } from './setup/with-start-errors.ts'

const usage = `Usage: npm run reprocess -- [options]

Processes all uploads again whose preset, or its renderer, has changed since, and prints the counts. Workers do it when no
other job waits. Until then, and if it fails, the uploads are served as they are.

  --preset NAME     only uploads of this preset
  --owner OWNER     only uploads of this owner
  --after POSITION  continue after this position, which an interrupted run has printed
  --dry-run         only count
  --data DIR        data directory of the running \`npm start\` (default .millrace)
  --help            print this text and exit

With BUCKET in the environment or in .env, the variables of a worker are used instead (.env.example), for example on AWS. The presets
must be those of the workers.`

/** Options that are passed on to the worker's command. */
const passedOn = ['preset', 'owner', 'after'] as const

function readOptions() {
  return parseArgs({
    options: {
      preset: { type: 'string' },
      owner: { type: 'string' },
      after: { type: 'string' },
      'dry-run': { type: 'boolean', default: false },
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
  const parameters = passedOn.flatMap((name) => {
    const value = options[name]
    return value === undefined ? [] : [`--${name}=${value}`]
  })
  if (options['dry-run']) parameters.push('--dry-run')
  return runServiceCommand('worker/src/reprocess-main.ts', parameters, options.data)
}

process.exitCode = await withStartErrors(main)
