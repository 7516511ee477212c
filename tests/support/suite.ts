import { realpathSync } from 'node:fs'
import { pathToFileURL } from 'node:url'
import { inspect, stripVTControlCharacters } from 'node:util'
import { openTestReport } from './test-report.ts'

/** How long one test or hook may take unless its suite says otherwise. */
const defaultLimitMs = 30_000
/** How long sockets and processes may take to go after the last test, before they count as left open. */
const closingGraceMs = 2_000

type Crumbs = { __suite__: string; __test__: string }
type Callback<T> = (context: T & Crumbs) => unknown
type Hook<T> = { (hook: Callback<T>): void; each(hook: Callback<T>): void }

/** uvu's shape, without `only`: a test left alone by it would hide all others. */
export type GuardedTest<T> = {
  (name: string, test: Callback<T>): void
  before: Hook<T>
  after: Hook<T>
  skip(name: string, reason?: string): void
  run(): void
}

type DeclaredSuite = { name: string; runCalled: boolean; tests: number; skipped: number; start(): void }
type Running = { label: string; fail(error: unknown): void }

const uvuGlobals: { UVU_DEFER?: boolean; UVU_QUEUE?: unknown[][] } & object = globalThis
if (uvuGlobals.UVU_QUEUE) throw new Error('Import suite from tests/support/suite.ts only, never from uvu.')
// Makes uvu wait for exec() below rather than start on a timer while the file is still loading.
uvuGlobals.UVU_DEFER = true
/** What uvu will run: a title, then suites. */
const uvuQueue: unknown[] = [null]
uvuGlobals.UVU_QUEUE = [uvuQueue]
const uvu = await import('uvu')
const { compare } = await import('uvu/diff')

const report = openTestReport(process.env)
const declared: DeclaredSuite[] = []
const seenErrors = new Set<unknown>()
let phase: 'loading' | 'running' | 'finished' = 'loading'
let running: Running | undefined
let failures = 0
let finishedTests = 0

/** Stack lines of this file and of uvu, which tell nothing about the test. */
const ownFrames = /\n +at [^\n]*\/(?:tests\/support\/suite\.ts|node_modules\/uvu\/)[^\n]*/g

function fail(message: string, error?: unknown) {
  failures += 1
  const detail = error === undefined ? '' : `\n${inspect(error)}`
  process.stderr.write(`\n  FAIL  ${message}${detail}\n`)
  report({ kind: 'failure', message })
}

/**
 * Turns whatever was thrown into an Error that uvu's formatter can print: it dies on values that are not
 * errors and on operands that uvu cannot show, and takes the rest of the suite with it.
 */
function printableError(thrown: unknown): Error {
  const wellFormed =
    thrown instanceof Error &&
    typeof thrown.name === 'string' &&
    typeof thrown.message === 'string' &&
    typeof thrown.stack === 'string'
  if (!wellFormed) return new Error(`threw ${inspect(thrown)}, which is not an Error`)
  thrown.stack = `${thrown.stack}`.replace(ownFrames, '')
  const operator = 'operator' in thrown ? thrown.operator : ''
  if (thrown.name.startsWith('AssertionError')) {
    try {
      if (typeof operator !== 'string') throw new TypeError('uvu expects the operator to be a string')
      if ('actual' in thrown && 'expected' in thrown) compare(thrown.actual, thrown.expected)
      return thrown
    } catch {
      const actual = 'actual' in thrown ? inspect(thrown.actual) : 'nothing'
      const expected = 'expected' in thrown ? inspect(thrown.expected) : 'nothing'
      return new Error(`${thrown.message}\n    actual: ${actual}\n    expected: ${expected}`)
    }
  }
  if (thrown.cause !== undefined || thrown instanceof AggregateError) {
    process.stderr.write(`\n${inspect(thrown)}\n`)
  }
  return thrown
}

/** Runs one test or hook: it must end by itself, within the limit, and leave no rejection unhandled. */
function guarded(label: string, limitMs: number, work: () => unknown): Promise<void> {
  return new Promise((resolve, reject) => {
    // Not counted by the event loop, so that a loop with nothing else left runs dry at once (beforeExit).
    const timer = setTimeout(() => {
      settle(() => reject(new Error(`${label} did not end within ${limitMs} ms`)))
    }, limitMs).unref()
    const settle = (how: () => void) => {
      if (running !== current) return
      clearTimeout(timer)
      running = undefined
      how()
    }
    const current: Running = { label, fail: (error) => settle(() => reject(error)) }
    running = current
    const works = async () => {
      await work()
    }
    // One turn of the loop later, so that a rejection nobody handles is blamed on the test that caused it.
    works().then(
      () => setImmediate(() => settle(resolve)),
      (error) => current.fail(error),
    )
  })
}

/**
 * Declares a suite of tests, in uvu's shape and run by uvu, but red for everything that uvu forgives:
 * a hook that throws, a non-Error thrown, a suite that is empty or never run, a test that never ends,
 * an unhandled rejection, two tests of one name, an early exit, a handle left open.
 * @param name unique in its file
 * @param context handed to every test and hook
 * @param options `limitMs`: how long each test and hook may take, in milliseconds
 * @throws Error when a name is empty or taken, or when tests are declared after `run()`
 */
export function suite<T extends object = Record<string, unknown>>(
  name: string,
  context?: T,
  options: { limitMs?: number } = {},
): GuardedTest<T> {
  const limitMs = options.limitMs ?? defaultLimitMs
  if (!name) throw new Error('A suite needs a name.')
  if (phase !== 'loading') throw new Error(`Suite "${name}" is declared after the tests began.`)
  if (declared.some((other) => other.name === name)) throw new Error(`Two suites are named "${name}".`)

  const inner = uvu.suite<T>(name, context)
  const names = new Set<string>()
  const hooks: Record<'before' | 'after' | 'beforeEach' | 'afterEach', Callback<T>[]> = {
    before: [],
    after: [],
    beforeEach: [],
    afterEach: [],
  }
  let beforeFailed = false
  const self: DeclaredSuite = { name, runCalled: false, tests: 0, skipped: 0, start: () => inner.run() }
  declared.push(self)

  const open = () => {
    if (self.runCalled) throw new Error(`Suite "${name}" is added to after its run().`)
  }
  const claim = (testName: string) => {
    open()
    if (!testName) throw new Error(`A test in suite "${name}" has no name.`)
    if (names.has(testName)) throw new Error(`Two tests in suite "${name}" are named "${testName}".`)
    names.add(testName)
  }
  const collect = (list: Callback<T>[], callback: Callback<T>) => {
    open()
    if (typeof callback !== 'function') throw new TypeError(`A hook of suite "${name}" is no function.`)
    list.push(callback)
  }

  /** Runs hooks that belong to no test. All of them run, since each cleans up something else. */
  const runHooks = async (kind: 'before' | 'after', state: T & Crumbs) => {
    let sound = true
    for (const hook of hooks[kind]) {
      try {
        await guarded(`the ${kind} hook of "${name}"`, limitMs, () => hook(state))
      } catch (error) {
        sound = false
        fail(`the ${kind} hook of "${name}" failed`, printableError(error))
        if (kind === 'before') return sound
      }
    }
    return sound
  }

  /** One test with its each-hooks, as the single function that uvu sees. */
  const runTest = async (testName: string, body: Callback<T>, state: T & Crumbs) => {
    if (beforeFailed) throw new Error(`not run, because a before hook of "${name}" failed`)
    const label = `test "${testName}" of "${name}"`
    const thrown: unknown[] = []
    const attempt = async (what: string, work: Callback<T>) => {
      try {
        await guarded(what, limitMs, () => work(state))
      } catch (error) {
        thrown.push(printableError(error))
      }
    }
    for (const hook of hooks.beforeEach) {
      if (thrown.length === 0) await attempt(`the before.each hook of ${label}`, hook)
    }
    if (thrown.length === 0) await attempt(label, body)
    for (const hook of hooks.afterEach) await attempt(`the after.each hook of ${label}`, hook)
    for (const further of thrown.slice(1)) process.stderr.write(`\n  and then: ${inspect(further)}\n`)
    if (thrown.length > 0) throw thrown[0]
  }

  inner.before(async (state) => {
    beforeFailed = !(await runHooks('before', state))
  })
  inner.after(async (state) => {
    await runHooks('after', state)
  })

  const test = (testName: string, body: Callback<T>) => {
    claim(testName)
    if (typeof body !== 'function') throw new TypeError(`Test "${testName}" of "${name}" is no function.`)
    self.tests += 1
    inner(testName, async (state) => {
      const startedAt = performance.now()
      report({ kind: 'started', suite: name, name: testName })
      const done = (outcome: 'passed' | 'failed') => {
        finishedTests += 1
        if (outcome === 'failed') failures += 1
        report({ kind: 'test', suite: name, name: testName, outcome, ms: performance.now() - startedAt })
      }
      try {
        await runTest(testName, body, state)
      } catch (error) {
        done('failed')
        throw error
      }
      done('passed')
    })
  }
  test.before = hookOf(hooks.before, hooks.beforeEach)
  test.after = hookOf(hooks.after, hooks.afterEach)
  test.skip = (testName: string, reason = '') => {
    claim(testName)
    self.skipped += 1
    inner.skip()
    process.stdout.write(`  skipped "${testName}"${reason && `: ${reason}`}\n`)
    report({ kind: 'skipped', suite: name, name: testName, reason })
  }
  test.run = () => {
    if (self.runCalled) throw new Error(`Suite "${name}" is run twice.`)
    if (self.tests + self.skipped === 0) throw new Error(`Suite "${name}" has no tests.`)
    self.runCalled = true
  }
  return test

  function hookOf(once: Callback<T>[], each: Callback<T>[]): Hook<T> {
    return Object.assign((hook: Callback<T>) => collect(once, hook), {
      each: (hook: Callback<T>) => collect(each, hook),
    })
  }
}

/** Blames an error that no promise carries on the test that runs, or else on the file. */
function stray(what: string, error: unknown) {
  if (seenErrors.has(error) && error instanceof Error) return
  seenErrors.add(error)
  if (phase === 'loading') return fail('the file does not load', printableError(error))
  if (!running) return fail(`${what} outside of any test`, printableError(error))
  const { label } = running
  process.stderr.write(`\n  ${what} during ${label}\n`)
  running.fail(printableError(error))
}

process.on('uncaughtException', (error) => stray('uncaught exception', error))
process.on('unhandledRejection', (error) => stray('unhandled rejection', error))

process.on('beforeExit', () => {
  if (!running) return
  // Keeps the loop turning once more for the tests after this one.
  setImmediate(() => {})
  running.fail(new Error(`${running.label} never ends: nothing is left that could end it`))
})

process.on('exit', () => {
  if (phase === 'loading') fail('the process ended before the file had loaded')
  if (phase === 'running') fail(`the process ended in the middle of ${running?.label ?? 'the tests'}`)
  report({ kind: 'finished' })
  if (failures > 0) process.exitCode = 1
})

async function runFile(entry: string) {
  try {
    // The promise of the module that is loading already: it settles when all its suites are declared.
    await import(entry)
  } catch (error) {
    phase = 'finished'
    if (!seenErrors.has(error)) fail('the file does not load', printableError(error))
    process.exit(1)
  }
  phase = 'running'
  if (declared.length === 0) fail('the file declares no suite')
  for (const { name, runCalled } of declared) {
    if (!runCalled) fail(`suite "${name}" is never run: its test.run() is missing`)
  }
  const runnable = declared.filter(({ runCalled }) => runCalled)
  if (uvuQueue.length > 1) fail('a suite is imported from uvu itself, which forgives too much')
  for (const { start } of runnable) start()
  await uvu.exec()
  const expected = runnable.reduce((sum, { tests }) => sum + tests, 0)
  if (finishedTests !== expected) fail(`${expected} tests were declared but ${finishedTests} ended`)
  phase = 'finished'
  setTimeout(() => {
    const kept = process.getActiveResourcesInfo().filter((kind) => kind !== 'TTYWrap')
    fail(`the tests ended but something was left open: ${stripVTControlCharacters(kept.join(', '))}`)
    process.exit(1)
  }, closingGraceMs).unref()
}

const entry = process.argv[1]
if (entry === undefined) throw new Error('tests/support/suite.ts works in a test file only.')
runFile(pathToFileURL(realpathSync(entry)).href)
