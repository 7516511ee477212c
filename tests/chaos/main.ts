import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { provideProgram, redisProgram } from '@millrace/local/setup/system-programs.ts'
import { type FaultKind, faultKinds } from './faults.ts'
import { report } from './report.ts'
import { runChaos } from './run-chaos.ts'

/** The default run takes less than 5 minutes with these. Longer runs send as many uploads per second. */
const defaultUploads = 1_500
const windowMsPerUpload = 75
const leastWindowMs = 20_000
/**
 * How long nothing may get done after the last fault, in ms: a message that a worker took and lost is back after the
 * visibility timeout of SQS, 60 s, and a job whose worker died after the 10 s of its lock and 10 s more.
 */
const standstillMs = 80_000
/** How long everything may take after the last fault, in ms. */
const limitMs = 600_000

const { values } = parseArgs({
  options: {
    uploads: { type: 'string', default: String(defaultUploads) },
    // Some kinds of faults only, separated by commas: shows the recovery of each without the others.
    kinds: { type: 'string', default: faultKinds.join() },
    seed: { type: 'string', default: String(1 + (Date.now() % 1_000_000)) },
  },
})

function wholeNumber(flag: string, text: string): number {
  const value = Number(text)
  if (Number.isSafeInteger(value) && value >= 1) return value
  throw new Error(`${flag} must be a whole number from 1, not "${text}".`)
}

/** @throws Error with all kinds if one is unknown */
function readKinds(text: string): FaultKind[] {
  const names = text.split(',')
  const kinds = faultKinds.filter((kind) => names.includes(kind))
  if (kinds.length === new Set(names).size) return kinds
  throw new Error(`--kinds must be some of ${faultKinds.join(', ')}, not "${text}".`)
}

// Without a handler the process would end without its exit handlers, which kill the services.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => process.exit(1))

const print = (line: string) => process.stdout.write(`${line}\n`)
const uploads = wholeNumber('--uploads', values.uploads)
const run = await runChaos({
  uploads,
  seed: wholeNumber('--seed', values.seed),
  windowMs: Math.max(leastWindowMs, uploads * windowMsPerUpload),
  kinds: readKinds(values.kinds),
  standstillMs,
  limitMs,
  redisProgram: await provideProgram(redisProgram, print),
  print,
})
await writeFile(
  join(run.directory, 'violations.json'),
  JSON.stringify({ seed: run.seed, injected: run.injected, violations: run.violations }, null, 1),
)
for (const line of report(run)) print(line)
process.exitCode = run.violations.length > 0 ? 1 : 0
