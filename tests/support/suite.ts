import { realpathSync } from 'node:fs'
import { pathToFileURL } from 'node:url'
import { inspect, stripVTControlCharacters } from 'node:util'
import { closeShared } from './shared-resources.ts'
import { cpuTimeMs, endOfFileOutput, openTestReport } from './test-report.ts'

/** Time limit of one test or hook, unless its suite sets another. */
const defaultLimitMs = 30_000
/** Time in which sockets and processes must close after the last test: 2 s. Afterwards they count as left open. */
const closingTurns = 20
const closingTurnMs = 100

type Crumbs = { __suite__: string; __test__: string }
type Callback<T> = (context: T & Crumbs) => unknown
type Hook<T> = { (hook: Callback<T>): void; each(hook: Callback<T>): void }

/** uvu's interface, without `only`: it would skip all other tests. */
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
// With this, uvu waits for exec() below. Otherwise it starts on a timer while the file is still loading.
uvuGlobals.UVU_DEFER = true
/** What uvu runs: a title, then suites. */
const uvuQueue: unknown[] = [null]
uvuGlobals.UVU_QUEUE = [uvuQueue]
const uvu = await import('uvu')
const { compare } = await import('uvu/diff')

const report = openTestReport(process.env)
/** The suites of the current file. */
const declared: DeclaredSuite[] = []
const seenErrors = new Set<unknown>()
let phase: 'loading' | 'running' | 'finished' = 'loading'
let running: Running | undefined
/** Failures of all files of the process. */
let failures = 0
/** Ended tests of the current file. */
let finishedTests = 0

/** Stack lines of this file and of uvu. They contain nothing about the test. */
const ownFrames = /\n +at [^\n]*\/(?:tests\/support\/suite\.ts|node_modules\/uvu\/)[^\n]*/g

function fail(message: string, error?: unknown) {
  failures += 1
  const detail = error === undefined ? '' : `\n${inspect(error)}`
  process.stderr.write(`\n  FAIL  ${message}${detail}\n`)
  report({ kind: 'failure', message })
}

/**
 * Converts a thrown value into an Error that uvu's formatter can print. The formatter crashes on values that are not
 * errors and on operands that it cannot show, and then the rest of the suite does not run.
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

/** Runs one test or hook. It must end within the limit and leave no unhandled rejection. */
function runGuarded(label: string, limitMs: number, work: () => unknown): Promise<void> {
  return new Promise((resolve, reject) => {
    // unref: the timer alone must not keep the event loop alive, so that an empty loop is noticed at once (beforeExit).
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
    const runWork = async () => {
      await work()
    }
    // One tick of the event loop later, so that an unhandled rejection is reported for the test that caused it.
    runWork().then(
      () => setImmediate(() => settle(resolve)),
      (error) => current.fail(error),
    )
  })
}

/**
 * Declares a suite of tests, with uvu's interface and run by uvu. It fails for what plain uvu accepts:
 * a hook that throws, a thrown value that is not an Error, a suite that is empty or never run, a test that never ends,
 * an unhandled rejection, two tests of the same name, an early exit, a handle left open.
 * A process may run several files (see run-file.ts): each is then reported as if it were alone.
 * @param name unique in its file
 * @param context passed to each test and hook
 * @param options `limitMs`: time limit of each test and hook, in milliseconds
 * @throws Error if a name is empty or already used, or if tests are declared after `run()`
 */
export function suite<T extends object = Record<string, unknown>>(
  name: string,
  context?: T,
  options: { limitMs?: number } = {},
): GuardedTest<T> {
  const limitMs = options.limitMs ?? defaultLimitMs
  if (!name) throw new Error('A suite needs a name.')
  if (phase !== 'loading') throw new Error(`Suite "${name}" is declared after the tests started.`)
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

  const assertNotRun = () => {
    if (self.runCalled) throw new Error(`A test or hook is added to suite "${name}" after its run().`)
  }
  const registerName = (testName: string) => {
    assertNotRun()
    if (!testName) throw new Error(`A test in suite "${name}" has no name.`)
    if (names.has(testName)) throw new Error(`Two tests in suite "${name}" are named "${testName}".`)
    names.add(testName)
  }
  const addHook = (list: Callback<T>[], callback: Callback<T>) => {
    assertNotRun()
    if (typeof callback !== 'function') throw new TypeError(`A hook of suite "${name}" is not a function.`)
    list.push(callback)
  }

  /**
   * Runs the hooks of the whole suite. After a failed `after` hook the others still run, because each cleans up
   * something else.
   * @returns whether all of them succeeded
   */
  const runHooks = async (kind: 'before' | 'after', state: T & Crumbs) => {
    let succeeded = true
    for (const hook of hooks[kind]) {
      try {
        await runGuarded(`the ${kind} hook of "${name}"`, limitMs, () => hook(state))
      } catch (error) {
        succeeded = false
        fail(`the ${kind} hook of "${name}" failed`, printableError(error))
        if (kind === 'before') return succeeded
      }
    }
    return succeeded
  }

  /** Runs one test with its each-hooks. For uvu this is a single function. */
  const runTest = async (testName: string, body: Callback<T>, state: T & Crumbs) => {
    if (beforeFailed) throw new Error(`not run, because a before hook of "${name}" failed`)
    const label = `test "${testName}" of "${name}"`
    const thrown: unknown[] = []
    const attempt = async (label: string, work: Callback<T>) => {
      try {
        await runGuarded(label, limitMs, () => work(state))
      } catch (error) {
        thrown.push(printableError(error))
      }
    }
    for (const hook of hooks.beforeEach) {
      if (thrown.length === 0) await attempt(`the before.each hook of ${label}`, hook)
    }
    if (thrown.length === 0) await attempt(label, body)
    for (const hook of hooks.afterEach) await attempt(`the after.each hook of ${label}`, hook)
    for (const later of thrown.slice(1)) process.stderr.write(`\n  and then: ${inspect(later)}\n`)
    if (thrown.length > 0) throw thrown[0]
  }

  inner.before(async (state) => {
    beforeFailed = !(await runHooks('before', state))
  })
  inner.after(async (state) => {
    await runHooks('after', state)
  })

  const test = (testName: string, body: Callback<T>) => {
    registerName(testName)
    if (typeof body !== 'function') throw new TypeError(`Test "${testName}" of "${name}" is not a function.`)
    self.tests += 1
    inner(testName, async (state) => {
      const startedAt = performance.now()
      report({ kind: 'started', suite: name, name: testName })
      const finish = (outcome: 'passed' | 'failed') => {
        finishedTests += 1
        if (outcome === 'failed') failures += 1
        report({ kind: 'test', suite: name, name: testName, outcome, ms: performance.now() - startedAt })
      }
      try {
        await runTest(testName, body, state)
      } catch (error) {
        finish('failed')
        throw error
      }
      finish('passed')
    })
  }
  test.before = createHook(hooks.before, hooks.beforeEach)
  test.after = createHook(hooks.after, hooks.afterEach)
  test.skip = (testName: string, reason = '') => {
    registerName(testName)
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

  function createHook(once: Callback<T>[], each: Callback<T>[]): Hook<T> {
    return Object.assign((hook: Callback<T>) => addHook(once, hook), {
      each: (hook: Callback<T>) => addHook(each, hook),
    })
  }
}

/** Reports an error outside of any awaited promise as a failure of the running test, or else of the file. */
function reportStrayError(kind: string, error: unknown) {
  if (seenErrors.has(error) && error instanceof Error) return
  seenErrors.add(error)
  if (phase === 'loading') return fail('the file does not load', printableError(error))
  if (!running) return fail(`${kind} outside of any test`, printableError(error))
  const { label } = running
  process.stderr.write(`\n  ${kind} during ${label}\n`)
  running.fail(printableError(error))
}

process.on('uncaughtException', (error) => reportStrayError('uncaught exception', error))
process.on('unhandledRejection', (error) => reportStrayError('unhandled rejection', error))

/** Called when the event loop is empty after a file's tests, as it is when a process may exit. */
let whenClosed: (() => void) | undefined

process.on('beforeExit', () => {
  if (running) {
    // Keeps the event loop alive for one more tick, so that the next tests run.
    setImmediate(() => {})
    return running.fail(new Error(`${running.label} never ends: the event loop is empty`))
  }
  whenClosed?.()
})

process.on('exit', () => {
  if (phase === 'loading') fail('the process ended before the file had loaded')
  if (phase === 'running') fail(`the process ended in the middle of ${running?.label ?? 'the tests'}`)
  report({ kind: 'finished', cpuMs: cpuTimeMs() })
  if (failures > 0) process.exitCode = 1
})

/** Loads a file, runs its suites, and waits until nothing is open. Ends the process if the file breaks it. */
async function runFile(entry: string) {
  try {
    // The first file is already loading. This promise settles after all its suites are declared.
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
  if (uvuQueue.length > 1) fail('a suite is imported from uvu itself, which does not report all failures')
  for (const { start } of runnable) start()
  await uvu.exec()
  const expected = runnable.reduce((sum, { tests }) => sum + tests, 0)
  if (finishedTests !== expected) fail(`${expected} tests were declared but ${finishedTests} ended`)
  phase = 'finished'
  const isClosed = Promise.withResolvers<void>()
  whenClosed = isClosed.resolve
  const stopWaiting = afterTurns(closingTurns, () => {
    const openResources = process.getActiveResourcesInfo().filter((kind) => kind !== 'TTYWrap')
    fail(`the tests ended but something was left open: ${stripVTControlCharacters(openResources.join(', '))}`)
    process.exit(1)
  })
  await isClosed.promise
  whenClosed = undefined
  stopWaiting()
}

/**
 * Calls back after a number of short timers that do not keep the event loop alive. One long timer would be over at once
 * after a stall of the machine, before the loop could notice that nothing is open.
 */
function afterTurns(count: number, callback: () => void): () => void {
  let timer: NodeJS.Timeout
  const wait = (left: number) => {
    timer = setTimeout(() => (left > 1 ? wait(left - 1) : callback()), closingTurnMs).unref()
  }
  wait(count)
  return () => clearTimeout(timer)
}

/** Begins a further file in this process, as if the process were new. */
function beginFile() {
  declared.length = 0
  finishedTests = 0
  uvuQueue.splice(0, uvuQueue.length, null)
  phase = 'loading'
  process.stdout.write(endOfFileOutput)
  process.stderr.write(endOfFileOutput)
}

let globalFunctions: string[] | undefined

/**
 * Returns the names of the functions and classes that every module saw at first, such as `fetch` and `setTimeout`. Without those of
 * tslib, such as `__extends`: each copy of it that is loaded sets them.
 */
function namesOfGlobalFunctions(): string[] {
  globalFunctions ??= Object.entries(Object.getOwnPropertyDescriptors(globalThis)).flatMap(
    ([name, { value }]) => (typeof value === 'function' && !name.startsWith('__') ? [name] : []),
  )
  return globalFunctions
}

/** Fails a file that changed the process for the files after it. */
function checkUnchanged(before: ReturnType<typeof readProcessState>): void {
  const after = readProcessState()
  const names = new Set([...before.keys(), ...after.keys()])
  const changed = [...names].filter((name) => before.get(name) !== after.get(name))
  if (changed.length > 0) fail(`the file shares its process with others but changed ${changed.join(', ')}`)
}

/** libvips sets it in the environment of the process that loads it. */
const variableOfLibvips = 'VIPSHOME'

/** Returns what a file could change for the next one, by name: the environment, the directory, global functions. */
function readProcessState(): Map<string, unknown> {
  const state = new Map<string, unknown>([['the working directory', process.cwd()]])
  for (const [name, value] of Object.entries(process.env)) {
    if (name !== variableOfLibvips) state.set(`the variable ${name}`, value)
  }
  for (const name of namesOfGlobalFunctions()) state.set(`the global ${name}`, Reflect.get(globalThis, name))
  for (const name of ['now', 'UTC', 'parse'] as const) state.set(`Date.${name}`, Date[name])
  state.set('Math.random', Math.random).set('performance.now', performance.now)
  return state
}

/** Runs the files of the command line one after another. The process's own first file imports this module. */
async function runFiles([first, ...others]: string[]) {
  if (first === undefined) throw new Error('tests/support/suite.ts works only in a test file.')
  const urlOf = (path: string) => pathToFileURL(realpathSync(path)).href
  // Node loads fetch and WebSocket when they are read: 0.1 s of CPU time that a file alone does not need.
  let state = others.length > 0 ? readProcessState() : new Map<string, unknown>()
  await runFile(urlOf(first))
  for (const path of others) {
    checkUnchanged(state)
    report({ kind: 'next', cpuMs: cpuTimeMs() })
    beginFile()
    state = readProcessState()
    await runFile(urlOf(path))
  }
  await runGuarded('the end of what the files share', defaultLimitMs, closeShared).catch((error) => {
    fail('what the files share was not closed', printableError(error))
    process.exit(1)
  })
}

runFiles(process.argv.slice(1))
