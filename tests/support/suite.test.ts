import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { basename, join } from 'node:path'
import * as assert from 'uvu/assert'
import { listProcesses } from './process-list.ts'
import { runTestFile } from './run-file.ts'
import { suite } from './suite.ts'

const fixtures = join(import.meta.dirname, '../fixtures')

/** Fixtures that plain uvu would pass or crash on: the failures that the runner must count, and the output. */
const failingFixtures: Record<string, { failures: string[]; says?: RegExp }> = {
  'test-fails': { failures: ['fixture › fails'], says: /Actual:[\s\S]*Expected:[\s\S]*test-fails\.ts:\d+/ },
  'before-throws': {
    failures: ['the before hook of "fixture" failed', 'fixture › passes'],
    says: /from the hook/,
  },
  'before-rejects': {
    failures: ['the before hook of "fixture" failed', 'fixture › passes'],
    says: /from the hook/,
  },
  'after-throws': { failures: ['the after hook of "fixture" failed'], says: /from the hook/ },
  'before-each-throws': { failures: ['fixture › passes'], says: /from the hook/ },
  'after-each-throws': { failures: ['fixture › passes'], says: /from the hook/ },
  'throws-undefined': { failures: ['fixture › throws undefined'], says: /threw undefined/ },
  'throws-null': { failures: ['fixture › throws null'], says: /threw null/ },
  'throws-string': { failures: ['fixture › throws a string'], says: /threw 'a string'/ },
  'hook-throws-undefined': { failures: ['the after hook of "fixture" failed'], says: /threw undefined/ },
  'unprintable-operands': {
    failures: ['fixture › fails on what uvu cannot show'],
    says: /actual: \[ Symbol\(one\) \]/,
  },
  'run-forgotten': { failures: ['suite "fixture" is never run: its test.run() is missing'] },
  'one-run-forgotten': { failures: ['suite "other" is never run: its test.run() is missing'] },
  'empty-suite': { failures: ['the file does not load'], says: /Suite "fixture" has no tests/ },
  'empty-file': { failures: ['the file declares no suite'] },
  'never-ends': { failures: ['fixture › never ends'], says: /test "never ends" of "fixture" never ends/ },
  'hook-never-ends': {
    failures: ['the before hook of "fixture" failed', 'fixture › passes'],
    says: /the before hook of "fixture" never ends/,
  },
  'too-slow': {
    failures: ['fixture › is too slow', 'the tests ended but something was left open'],
    says: /test "is too slow" of "fixture" did not end within 50 ms/,
  },
  'unhandled-rejection': {
    failures: ['fixture › leaves a rejection'],
    says: /unhandled rejection during test "leaves a rejection"/,
  },
  'late-rejection': {
    failures: ['unhandled rejection outside of any test'],
    says: /this rejection is not handled/,
  },
  'uncaught-exception': {
    failures: ['fixture › throws from a callback'],
    says: /uncaught exception during test "throws from a callback"/,
  },
  only: { failures: ['the file does not load'], says: /test\.only is not a function/ },
  'same-name': { failures: ['the file does not load'], says: /Two tests .* are named "passes"/ },
  'same-suite-name': { failures: ['the file does not load'], says: /Two suites are named "fixture"/ },
  'test-after-run': {
    failures: ['the file does not load'],
    says: /is added to suite "fixture" after its run/,
  },
  'exits-zero': { failures: ['the process ended in the middle of test "exits" of "fixture"'] },
  'exits-zero-after': { failures: ['fixture › fails'], says: /hidden/ },
  'exits-zero-while-loading': { failures: ['the process ended before the file had loaded'] },
  'plain-uvu-beside': {
    failures: ['a suite is imported from uvu itself, which does not report all failures'],
  },
  'plain-uvu-first': {
    failures: ['the file ended without running the guarded suite (exit code 1)'],
    says: /never from uvu/,
  },
  'does-not-load': { failures: ['the file does not load'], says: /while loading/ },
  'loads-forever': { failures: ['the process ended before the file had loaded'] },
  'handle-left-open': {
    failures: ['the tests ended but something was left open'],
    says: /something was left open: .*TCPServerWrap/,
  },
  killed: { failures: ['the file was ended by SIGKILL, in fixture › is killed'] },
}

/** Of all processes: what NODE_OPTIONS has of a whole run loads two modules first, for packages that no fixture imports. */
const { NODE_OPTIONS: _, ...environment } = process.env

const runFixture = (name: string) =>
  runTestFile(join(fixtures, 'suite', `${name}.ts`), {
    environment,
    limitMs: 20_000,
    signal: new AbortController().signal,
  })

/** Runs a Node program to its end. */
async function run(parameters: string[]) {
  const child = spawn(process.execPath, parameters, { stdio: ['ignore', 'pipe', 'pipe'], env: environment })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => {
      output += chunk
    })
  }
  const code = await new Promise((resolve) => child.once('close', resolve))
  return { code, output, lastLine: output.trimEnd().split('\n').at(-1) }
}

const runRunner = (fixture: string, ...parameters: string[]) =>
  run([
    join(import.meta.dirname, '../run.ts'),
    '--root',
    join(fixtures, 'run', fixture),
    '--minimum',
    '1',
    '--unbundled',
    ...parameters,
  ])

const guard = suite('guarded suite')

guard('a file without mistakes passes, and its skipped test is reported', async () => {
  const result = await runFixture('healthy')
  assert.equal(result.failures, [])
  assert.is(result.exitCode, 0)
  assert.is(result.passed, 3)
  assert.equal(result.skipped, [{ name: 'is left out', reason: 'to be counted' }])
})

for (const [name, { failures, says }] of Object.entries(failingFixtures)) {
  guard(`the fixture ${name} fails`, async () => {
    const result = await runFixture(name)
    // Which handles were left open is in the message, and differs by how output is connected.
    const named = result.failures.map((failure) => failure.replace(/(left open): .*/, '$1'))
    assert.equal(named, failures)
    assert.is.not(result.exitCode, 0)
    if (says) assert.match(result.output, says)
  })
}

guard('each fixture has a test', () => {
  const names = readdirSync(join(fixtures, 'suite')).map((file) => basename(file, '.ts'))
  assert.equal(names.toSorted(), ['healthy', ...Object.keys(failingFixtures)].toSorted())
})

guard.run()

const runner = suite('test runner')

runner('the last line of a run counts passed and skipped tests', async () => {
  const { code, lastLine } = await runRunner('healthy')
  assert.is(lastLine, '2 passed, 0 failed, 1 skipped')
  assert.is(code, 0)
})

runner('a run with fewer tests than the minimum fails', async () => {
  const { code, output, lastLine } = await runRunner('healthy', '--minimum', '4')
  assert.match(output, 'Only 3 tests were counted; at least 4 are required.')
  assert.is(lastLine, '2 passed, 1 failed, 1 skipped')
  assert.is(code, 1)
})

runner('a filtered run has no minimum', async () => {
  const { code, lastLine } = await runRunner('healthy', '--minimum', '4', 'one.test')
  assert.is(lastLine, '1 passed, 0 failed')
  assert.is(code, 0)
})

runner('a run whose filter matches no file fails', async () => {
  const { code, output, lastLine } = await runRunner('healthy', 'no-such-file')
  assert.match(output, 'No test file matches no-such-file.')
  assert.is(lastLine, '0 passed, 1 failed')
  assert.is(code, 1)
})

/** One run of files that break in their own ways. Processes of a runner take a third of a second of CPU time. */
let broken: Awaited<ReturnType<typeof run>>
runner.before(async () => {
  broken = await runRunner('breaks')
})

/** Returns what the run of broken files reported of one of them. */
function reportOf(name: string): string | undefined {
  const line = broken.output.split('\n').find((each) => each.includes(`breaks/${name}.test.ts`))
  return line?.replace(/^(.) .*\.test\.ts {2}(.*?) +[\d.]+ s$/, '$1 $2')
}

runner('a file that exits with 0 without running a suite fails', () => {
  assert.match(broken.output, 'ended without running the guarded suite (exit code 0)')
  assert.is(reportOf('runs-nothing'), '✘ 0 passed, 1 failed')
})

runner('a file cannot report tests through its standard output', () => {
  assert.is(reportOf('fakes-output'), '✘ 0 passed, 1 failed')
})

runner('a killed file fails', () => {
  assert.match(broken.output, 'ended by SIGKILL, in fixture › is killed')
  assert.is(reportOf('killed'), '✘ 0 passed, 1 failed')
})

runner('processes that a file leaves behind are killed', () => {
  assert.is(reportOf('leaves-a-process'), '✘ 1 passed, 1 failed')
  const pid = Number(/left (\d+)/.exec(broken.output)?.[1])
  assert.ok(pid > 0)
  assert.not(listProcesses().some((process) => process.pid === pid))
})

runner('a run of which files fail fails, and its last line counts all of them', () => {
  assert.is(broken.lastLine, '1 passed, 4 failed')
  assert.is(broken.code, 1)
})

runner('files that share a process are reported one by one, and each must leave it as it was', async () => {
  const { code, output, lastLine } = await runRunner('shares-a-process')
  const lines = output.split('\n')
  const reported = lines
    .filter((line) => /^[•✘] tests/.test(line))
    .map((line) => line.replace(/ +[\d.]+ s$/, ''))
  const named = (line: string) => line.replace('tests/fixtures/run/shares-a-process/api/', '')
  assert.equal(reported.map(named), [
    '• 1-passes.test.ts  1 passed',
    '✘ 2-fails.test.ts  0 passed, 1 failed',
    '✘ 3-leaves-a-variable.test.ts  1 passed, 1 failed',
    '✘ 4-leaves-a-server.test.ts  1 passed, 1 failed',
    // A new process runs it.
    '• 5-passes.test.ts  1 passed',
  ])
  assert.match(output, 'the file shares its process with others but changed the variable LEFT_BY_A_TEST')
  assert.match(output, /something was left open: .*TCPServerWrap/)
  // The output of a file is printed with this file: that of the first one is not, because it passed.
  assert.not.match(output, 'first ran')
  assert.match(output, 'failing ran')
  assert.is(lastLine, '4 passed, 3 failed')
  assert.is(code, 1)
})

runner('a file that hangs is killed, and its test is named', async () => {
  const { code, output, lastLine } = await runRunner('hangs', '--limit-seconds', '5')
  assert.match(output, 'blocking')
  assert.match(output, 'ran longer than 5 s, in fixture › blocks')
  assert.is(lastLine, '0 passed, 1 failed')
  assert.is(code, 1)
})

runner('an interrupted run kills its files', async () => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  assert.ok(address && typeof address === 'object')
  const parameters = ['--root', join(fixtures, 'run/holds-a-connection'), '--minimum', '1', '--unbundled']
  const child = spawn(process.execPath, [join(import.meta.dirname, '../run.ts'), ...parameters], {
    env: { ...environment, FIXTURE_PORT: String(address.port) },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let output = ''
  child.stdout.on('data', (chunk) => {
    output += chunk
  })
  const ended = once(child, 'close')
  const [connection]: Socket[] = await once(server, 'connection')
  assert.ok(connection)
  connection.on('error', () => {}).resume()
  child.kill('SIGINT')
  await once(connection, 'close')
  server.close()
  const [code] = await ended
  assert.match(output, 'was interrupted, in fixture › holds a connection')
  assert.is(output.trimEnd().split('\n').at(-1), '0 passed, 1 failed')
  assert.is(code, 1)
})

runner.run()
