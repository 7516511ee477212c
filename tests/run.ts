import { globSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, relative, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { startRedisServer } from '@millrace/local/cloud/redis-server.ts'
import { StartError } from '@millrace/local/setup/start-error.ts'
import { chromiumProgram, provideProgram, redisProgram } from '@millrace/local/setup/system-programs.ts'
import { type FileResult, runTestFile } from './support/run-file.ts'
import { provideSstPlatform } from './support/sst-platform.ts'

/** A run without filters that counts fewer tests has lost some. Raise it as tests are added. */
const minimumTests = 970
/** One more than the cores of the smallest machine that runs these tests: most of them wait now and then. */
const filesAtOnce = 3
/** Test files and the services that they start import the same modules over and over. */
const compileCache = join(import.meta.dirname, '../node_modules/.cache/millrace-tests')
const fileLimitSeconds = 240
/** Folders whose files take long, the longest first, so that none of them is left for the end. */
const slowFolders = ['browser', 'local', 'journeys', 'stacks', 'worker', 'api', 'local-s3']

const { values, positionals: filters } = parseArgs({
  allowPositionals: true,
  options: {
    root: { type: 'string', default: import.meta.dirname },
    minimum: { type: 'string', default: String(minimumTests) },
    'limit-seconds': { type: 'string', default: String(fileLimitSeconds) },
  },
})

const root = resolve(values.root)
const stopping = new AbortController()
const say = (line: string) => process.stdout.write(`${line}\n`)

/** Lower runs earlier. */
function rank(path: string) {
  const index = slowFolders.indexOf(relative(root, path).split('/')[0] ?? '')
  return index === -1 ? slowFolders.length : index
}

function findFiles() {
  return globSync('**/*.test.ts', { cwd: root, exclude: ['**/node_modules', '**/fixtures'] })
    .map((path) => join(root, path))
    .filter((path) => filters.length === 0 || filters.some((filter) => path.includes(filter)))
    .sort((a, b) => rank(a) - rank(b) || a.localeCompare(b))
}

function show(result: FileResult) {
  const name = relative(process.cwd(), result.path)
  const seconds = `${(result.durationMs / 1000).toFixed(1)} s`
  if (result.failures.length > 0) {
    say(`\n✘ ${name}  ${result.passed} passed, ${result.failures.length} failed  ${seconds}`)
    say(result.output.trimEnd())
    for (const failure of result.failures) say(`✘ ${failure}`)
    say('')
    return
  }
  say(`• ${name}  ${result.passed} passed  ${seconds}`)
  for (const { name, reason } of result.skipped) say(`  skipped: ${name}${reason && ` (${reason})`}`)
}

/** Installs Chromium, where a file that drives it will run and none is there. */
async function provideChromium(files: string[]) {
  const drivesIt = files.some((path) => relative(root, path).startsWith('browser/'))
  if (drivesIt && !process.env['CHROMIUM']) await provideProgram(chromiumProgram, say)
}

/** Installs what sst.config.ts is run with, where the file that runs it will run. */
async function providePlatform(files: string[]) {
  if (files.some((path) => relative(root, path) === 'stacks/cloud.test.ts')) await provideSstPlatform(say)
}

/** The Redis of the run: the one that REDIS_URL names, or one of our own in a directory that goes with it. */
async function openRedis() {
  if (process.env['REDIS_URL']) return { url: process.env['REDIS_URL'], close: async () => {} }
  const program = await provideProgram(redisProgram, say)
  const directory = await mkdtemp(join(tmpdir(), 'millrace-tests-'))
  const server = await startRedisServer({ directory, program })
  const close = async () => {
    await server.close()
    await rm(directory, { recursive: true })
  }
  return { url: server.url, close }
}

async function runAll(files: string[], environment: NodeJS.ProcessEnv) {
  const results: FileResult[] = []
  const waiting = files.values()
  const runNext = async () => {
    for (const path of waiting) {
      if (stopping.signal.aborted) return
      const limitMs = Number(values['limit-seconds']) * 1000
      const result = await runTestFile(path, { environment, limitMs, signal: stopping.signal })
      show(result)
      results.push(result)
    }
  }
  await Promise.all(Array.from({ length: filesAtOnce }, runNext))
  return results
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => stopping.abort())

let complaints = 0
const complain = (sentence: string) => {
  complaints += 1
  say(`✘ ${sentence}`)
}

/** Runs the files, with what they need of the machine around them. */
async function runWithServices(files: string[]) {
  try {
    await provideChromium(files)
    await providePlatform(files)
    const redis = await openRedis()
    try {
      return await runAll(files, { ...process.env, REDIS_URL: redis.url, NODE_COMPILE_CACHE: compileCache })
    } finally {
      await redis.close()
    }
  } catch (error) {
    if (!(error instanceof StartError)) throw error
    complain(error.message)
    return []
  }
}

const startedAt = performance.now()
const files = findFiles()
const results = await runWithServices(files)

const passed = results.reduce((sum, result) => sum + result.passed, 0)
const skipped = results.reduce((sum, result) => sum + result.skipped.length, 0)
const failures = results.reduce((sum, result) => sum + result.failures.length, 0)
if (files.length === 0) complain(`No test file matches ${filters.join(' ') || root}.`)
if (results.length < files.length) complain(`${files.length - results.length} files were not run.`)
const minimum = Number(values.minimum)
const counted = passed + failures + skipped
if (filters.length === 0 && counted < minimum) {
  complain(`Only ${counted} tests were counted; there should be at least ${minimum}.`)
}
const failed = failures + complaints
say(`\n${results.length} files in ${((performance.now() - startedAt) / 1000).toFixed(1)} s`)
say(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`)
process.exitCode = failed > 0 ? 1 : 0
