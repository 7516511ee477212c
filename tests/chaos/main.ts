import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { provideProgram, redisProgram } from '@millrace/local/setup/system-programs.ts'
import { type FaultKind, faultKinds } from './faults.ts'
import { report } from './report.ts'
import { runChaos } from './run-chaos.ts'

/** The default run takes less than 5 minutes with these. Longer runs send as many uploads per second. */
const defaultUploads = 2_000
const windowMsPerUpload = 55
const leastWindowMs = 20_000
/** How long everything may take after the last fault, in ms: two visibility timeouts of SQS. */
const settleMs = 120_000

const { values } = parseArgs({
  options: {
    uploads: { type: 'string', default: String(defaultUploads) },
    // Some kinds of faults only, separated by commas: shows the recovery of each without the others.
    kinds: { type: 'string', default: faultKinds.join() },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
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

const print = (line: string) => process.stdout.write(`${line}\n`)
const uploads = wholeNumber('--uploads', values.uploads)
const run = await runChaos({
  uploads,
  seed: wholeNumber('--seed', values.seed),
  windowMs: Math.max(leastWindowMs, uploads * windowMsPerUpload),
  kinds: readKinds(values.kinds),
  settleMs,
  redisProgram: await provideProgram(redisProgram, print),
  print,
})
await writeFile(
  join(run.directory, 'violations.json'),
  JSON.stringify({ seed: run.seed, injected: run.injected, violations: run.violations }, null, 1),
)
for (const line of report(run)) print(line)
process.exitCode = run.violations.length > 0 ? 1 : 0
