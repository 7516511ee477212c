import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'

/** Runs `npm run bench -- <name> [--quick]`, after installing what Millrace is measured against. */
const benches = new Map([['ingest', () => import('./ingest.ts')]])

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { quick: { type: 'boolean', default: false } },
})
const [name = ''] = positionals
const bench = benches.get(name)
if (!bench) {
  process.stderr.write(`Usage: npm run bench -- ${[...benches.keys()].join('|')} [--quick]\n`)
  process.exit(1)
}
if (!isInstalled()) {
  process.stderr.write('Installing what Millrace is measured against…\n')
  const flags = ['--no-audit', '--no-fund', '--loglevel=error']
  const { status } = spawnSync('npm', ['ci', ...flags], { cwd: import.meta.dirname, stdio: 'inherit' })
  if (status !== 0) process.exit(status ?? 1)
}
const { run } = await bench()
await run(values)

/** Whether node_modules holds the lock file's packages: npm notes what it installed in one of its own. */
function isInstalled(): boolean {
  const wanted = join(import.meta.dirname, 'package-lock.json')
  const installed = join(import.meta.dirname, 'node_modules/.package-lock.json')
  if (!existsSync(installed)) return false
  const versions = (file: string) =>
    Object.entries<{ version?: string; optional?: boolean }>(JSON.parse(readFileSync(file, 'utf8')).packages)
      .filter(([folder, { optional }]) => folder !== '' && !optional)
      .map(([folder, { version }]) => `${folder}@${version}`)
      .sort()
      .join()
  return versions(wanted) === versions(installed)
}
