import { globSync, readFileSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join, relative, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { StartError } from '@millrace/local/setup/start-error.ts'
import { chromiumProgram, clamdProgram, provideProgram } from '@millrace/local/setup/system-programs.ts'
import { slowCpuMs, slowFiles } from './slow-files.ts'
import { chooseFiles } from './support/choose-files.ts'
import { prebuildPackages } from './support/prebuilt-packages.ts'
import { prebuildPrograms } from './support/prebuilt-programs.ts'
import { type FileResult, runTestFiles } from './support/run-file.ts'
import { runInBudget } from './support/run-in-budget.ts'
import { groupByProcess, measuresMemory, startsSystems } from './support/shared-process.ts'
import { provideSstPlatform } from './support/sst-platform.ts'
import { openTestRedis } from './support/test-redis.ts'

/** A run of all files fails if it counts fewer tests, and so does one without the slow files. Raise them as tests are added. */
const minimumTests = { all: 4360, quick: 3210 }
const cores = availableParallelism()
/** Processes that run at the same time. More than cores, because most tests also wait. With three for each core, some time out. */
const budget = 2 * cores
/** Cache of compiled modules: test files and the services that they start import the same ones. */
const compileCache = join(import.meta.dirname, '../node_modules/.cache/millrace-tests')
const fileLimitSeconds = 240
/** With so many files, bundles of our own programs save more than it takes to build them. */
const filesForBundles = 30
/** Seconds of a file that is not slow, until a run has measured it. The slowest processes start first. */
const typicalSeconds = 4
/**
 * Lets glibc take huge pages for the buffers of Node. On a virtual machine whose pages are tables of its host, to touch a MiB the first
 * time takes 6 ms of CPU otherwise: a tenth of what test files cost. Other systems ignore it. Files that measure memory run without.
 */
const hugePages = { GLIBC_TUNABLES: process.env['GLIBC_TUNABLES'] ?? 'glibc.malloc.hugetlb=1' }
/** How long each file took, by its path below `tests`. */
const timesFile = join(import.meta.dirname, '../node_modules/.cache/millrace-test-times.json')

const { values, positionals: filters } = parseArgs({
  allowPositionals: true,
  options: {
    root: { type: 'string', default: import.meta.dirname },
    minimum: { type: 'string' },
    // Without filters, slow files are left out unless this is given.
    all: { type: 'boolean', default: false },
    'limit-seconds': { type: 'string', default: String(fileLimitSeconds) },
    // Loads modules from their own files, see prebuilt-packages.ts and prebuilt-programs.ts.
    unbundled: { type: 'boolean', default: false },
  },
})

const root = resolve(values.root)
const stopping = new AbortController()
const print = (line: string) => process.stdout.write(`${line}\n`)

/** Returns how long a file took last time, or how long those of its folder take. */
function expectSeconds(path: string): number {
  const name = relative(root, path)
  return lastSeconds[name] ?? slowFiles[name] ?? typicalSeconds
}

function usesBrowser(path: string): boolean {
  return relative(root, path).startsWith('browser/')
}

/** The images are tested by `npm run test:images`, which builds them before. */
function findFiles() {
  return globSync('**/*.test.ts', { cwd: root, exclude: ['**/node_modules', '**/fixtures', 'images'] })
    .map((path) => join(root, path))
    .sort()
}

function show(result: FileResult) {
  const name = relative(process.cwd(), result.path)
  const seconds = `${(result.durationMs / 1000).toFixed(1)} s`
  if (result.failures.length > 0) {
    print(`\n✘ ${name}  ${result.passed} passed, ${result.failures.length} failed  ${seconds}`)
    print(result.output.trimEnd())
    for (const failure of result.failures) print(`✘ ${failure}`)
    print('')
    return
  }
  print(`• ${name}  ${result.passed} passed  ${seconds}`)
  for (const { name, reason } of result.skipped) print(`  skipped: ${name}${reason && ` (${reason})`}`)
}

/** Installs Chromium if a browser test will run and Chromium is missing. */
async function provideChromium(files: string[]) {
  const isNeeded = files.some(usesBrowser)
  if (isNeeded && !process.env['CHROMIUM']) await provideProgram(chromiumProgram, print)
}

/**
 * Installs clamd if its test will run and this user is root, as in a container. Elsewhere it would stay as a service of
 * somebody's machine. Without it the test is skipped.
 */
async function provideClamd(files: string[]) {
  const isUsed = files.some((path) => relative(root, path) === 'worker/scanning/real-clamd.test.ts')
  if (!isUsed || process.getuid?.() !== 0) return
  await provideProgram(clamdProgram, print).catch((error) => {
    if (!(error instanceof StartError)) throw error
    print(error.message)
  })
}

/** The test that runs sst.config.ts. */
function needsPlatform(path: string): boolean {
  return relative(root, path) === 'stacks/cloud.test.ts'
}

/** Installs SST's platform while other files run. @returns whether it is installed; otherwise the run has failed */
async function hasPlatform(): Promise<boolean> {
  try {
    await provideSstPlatform(print)
    return true
  } catch (error) {
    if (!(error instanceof StartError)) throw error
    failRun(error.message)
    return false
  }
}

async function runAll(files: string[], environment: NodeJS.ProcessEnv) {
  const results: FileResult[] = []
  const limitMs = Number(values['limit-seconds']) * 1000
  /** Runs the files of one process. If one of them ends it, the files after that one run in another. */
  const runGroup = async (group: string[]) => {
    if (group.some(needsPlatform) && !(await hasPlatform())) return
    const ownEnvironment = group.some(measuresMemory) ? environment : { ...environment, ...hugePages }
    for (let rest = group; rest.length > 0 && !stopping.signal.aborted; ) {
      const ended = await runTestFiles(rest, {
        environment: ownEnvironment,
        limitMs,
        signal: stopping.signal,
      })
      for (const result of ended) show(result)
      results.push(...ended)
      rest = rest.slice(ended.length)
    }
  }
  const tasks = groupByProcess(root, files).map((group) => {
    const [first = ''] = group
    return {
      weight: usesBrowser(first) || startsSystems(first) ? 2 : 1,
      seconds: group.reduce((sum, path) => sum + expectSeconds(path), 0),
      run: () => runGroup(group),
    }
  })
  await runInBudget(tasks, { budget, signal: stopping.signal })
  return results
}

/** Returns the times of earlier runs, or none. They only decide the order. */
function readTimes(): Record<string, number> {
  try {
    return JSON.parse(readFileSync(timesFile, 'utf8'))
  } catch {
    return {}
  }
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => stopping.abort())

let runFailures = 0
/** Reports a failure of the run as a whole. */
const failRun = (sentence: string) => {
  runFailures += 1
  print(`✘ ${sentence}`)
}

/** Provides the services that the files need, then runs the files. */
async function runWithServices(files: string[]) {
  try {
    await provideChromium(files)
    await provideClamd(files)
    const redis = await openTestRedis(print)
    try {
      const nodeOptions = [process.env['NODE_OPTIONS']]
      if (!values.unbundled) nodeOptions.push(await prebuildPackages())
      if (!values.unbundled && files.length >= filesForBundles) nodeOptions.push(await prebuildPrograms())
      return await runAll(files, {
        ...process.env,
        REDIS_URL: redis.url,
        NODE_COMPILE_CACHE: compileCache,
        NODE_OPTIONS: nodeOptions.filter(Boolean).join(' '),
      })
    } finally {
      await redis.close()
    }
  } catch (error) {
    if (!(error instanceof StartError)) throw error
    failRun(error.message)
    return []
  }
}

const lastSeconds = readTimes()
const startedAt = performance.now()
const seconds = (ms: number) => `${Math.round(ms / 1000)} s`
const { files, leftOut } = chooseFiles(root, findFiles(), { filters, all: values.all, slow: slowFiles })
const results = await runWithServices(files)

if (root === import.meta.dirname && results.length > 0) {
  const times = results.map(({ path, durationMs }) => [relative(root, path), Math.ceil(durationMs / 1000)])
  writeFileSync(timesFile, JSON.stringify({ ...lastSeconds, ...Object.fromEntries(times) }))
}

const passed = results.reduce((sum, result) => sum + result.passed, 0)
const skipped = results.reduce((sum, result) => sum + result.skipped.length, 0)
const failures = results.reduce((sum, result) => sum + result.failures.length, 0)
if (files.length === 0) failRun(`No test file matches ${filters.join(' ') || root}.`)
if (results.length < files.length) failRun(`${files.length - results.length} files were not run.`)
const minimum = Number(values.minimum ?? (leftOut > 0 ? minimumTests.quick : minimumTests.all))
const counted = passed + failures + skipped
if (filters.length === 0 && counted < minimum) {
  failRun(`Only ${counted} tests were counted; at least ${minimum} are required.`)
}
const failed = failures + runFailures
const slowest = results.toSorted((a, b) => b.durationMs - a.durationMs).slice(0, 10)
if (results.length > slowest.length) {
  print(
    `\nThe slowest (of it CPU): ${slowest.map(({ path, durationMs, cpuMs }) => `${relative(root, path)} ${seconds(durationMs)} (${seconds(cpuMs)})`).join(', ')}`,
  )
}
const isUnlisted = ({ path, cpuMs }: FileResult) => cpuMs > slowCpuMs && !(relative(root, path) in slowFiles)
const unlisted = root === import.meta.dirname ? results.filter(isUnlisted) : []
if (unlisted.length > 0) {
  const names = unlisted.map(({ path, cpuMs }) => `${relative(root, path)} (${seconds(cpuMs)})`)
  print(`\nSlow by their CPU time, but not in slow-files.ts: ${names.join(', ')}`)
}
if (leftOut > 0) print(`\n${leftOut} slow files were left out. \`npm run test:all\` runs them as well.`)
const cpuMs = results.reduce((sum, result) => sum + result.cpuMs, 0)
print(
  `\n${results.length} files in ${((performance.now() - startedAt) / 1000).toFixed(1)} s, ${seconds(cpuMs)} of CPU on ${cores} cores`,
)
print(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`)
process.exitCode = failed > 0 ? 1 : 0
