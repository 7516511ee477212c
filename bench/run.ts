import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'

/**
 * Runs `npm run bench -- <name> [--quick]`. Installs the packages that Millrace is compared with first. `limits` also takes
 * `--before <directory>`, a checkout of another version with its packages installed.
 */
const benchmarks = new Map<string, () => Promise<{ run(options: Options): Promise<void> }>>([
  ['ingest', () => import('./ingest.ts')],
  ['limits', () => import('./limits/limits.ts')],
  ['processing', () => import('./processing/processing.ts')],
])
type Options = { quick: boolean; before?: string }

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { quick: { type: 'boolean', default: false }, before: { type: 'string' } },
})
const [name = ''] = positionals
const loadBenchmark = benchmarks.get(name)
if (!loadBenchmark) {
  process.stderr.write(
    `Usage: npm run bench -- ${[...benchmarks.keys()].join('|')} [--quick] [--before <checkout>]\n`,
  )
  process.exit(1)
}
if (!isInstalled()) {
  process.stderr.write('Installing the packages that Millrace is compared with…\n')
  const flags = ['--no-audit', '--no-fund', '--loglevel=error']
  const { status } = spawnSync('npm', ['ci', ...flags], { cwd: import.meta.dirname, stdio: 'inherit' })
  if (status !== 0) process.exit(status ?? 1)
}
const { run } = await loadBenchmark()
await run(values)

/** Returns whether node_modules contains the lock file's packages. npm lists them in a lock file of its own. */
function isInstalled(): boolean {
  const required = join(import.meta.dirname, 'package-lock.json')
  const installed = join(import.meta.dirname, 'node_modules/.package-lock.json')
  if (!existsSync(installed)) return false
  const versions = (file: string) =>
    Object.entries<{ version?: string; optional?: boolean }>(JSON.parse(readFileSync(file, 'utf8')).packages)
      .filter(([folder, { optional }]) => folder !== '' && !optional)
      .map(([folder, { version }]) => `${folder}@${version}`)
      .sort()
      .join()
  return versions(required) === versions(installed)
}
