import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

type Line = {
  level: number
  event?: string
  msg?: string
  phase?: string
  why?: string
  origin?: string
  step?: string
  exitCode?: number
  afterFailure?: boolean
  err?: { message: string }
}

const entry = join(import.meta.dirname, '../../fixtures/services/run-service.ts')
const test = suite('process shell')
const fatal = 60
const children = new Set<ReturnType<typeof spawn>>()

test.after.each(() => {
  for (const child of children) child.kill('SIGKILL')
  children.clear()
})

/**
 * Starts the fixture.
 *
 * @param limits options of `runService`
 */
function run(mode: string, limits: object = {}) {
  const child = spawn(process.execPath, [entry, mode, JSON.stringify(limits)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  children.add(child)
  const ended = once(child, 'close')
  const lines: Line[] = []
  const events = createInterface({ input: child.stdout }).on('line', (text) => lines.push(JSON.parse(text)))
  return {
    child,
    lines,
    kill: (signal: NodeJS.Signals) => child.kill(signal),
    /** Makes the fixture throw, reject or stop. */
    command: (name: 'throw' | 'reject' | 'stop') => child.stdin.write(`${name}\n`),
    async until(event: string) {
      while (!lines.some((line) => line.event === event)) {
        const [line] = await Promise.race([once(events, 'line'), ended.then(() => [])])
        if (line === undefined) throw new Error(`The fixture ended: ${JSON.stringify(lines)}`)
      }
    },
    /** Waits for the end of the process. Returns its exit code, or the signal that ended it. */
    async exit(): Promise<unknown> {
      const [code, signal]: unknown[] = await ended
      return code ?? signal
    },
    closedPhases: () => lines.filter(({ event }) => event === 'phase-closed').map(({ phase }) => phase),
    /** Returns the only line with this event. */
    onlyLine: (event: string) => {
      const matching = lines.filter((line) => line.event === event)
      assert.is(matching.length, 1, `one line ${event} in ${JSON.stringify(lines)}`)
      return matching[0]
    },
  }
}

const allPhases = ['last-opened', 'middle', 'first-opened']

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  test(`${signal} closes the phases in reverse order and exits with 0`, async () => {
    const service = run('clean')
    await service.until('ready')
    service.kill(signal)
    assert.is(await service.exit(), 0)
    assert.equal(
      service.lines.map(({ event, phase }) => phase ?? event),
      ['ready', 'closing', 'stopping', 'last-opened', 'middle', 'middle', 'first-opened', 'closed'],
    )
    assert.is(service.onlyLine('closing')?.why, signal)
    assert.is(service.onlyLine('middle')?.afterFailure, false)
  })
}

test('stop() closes the phases, logs its reason and exits with 0', async () => {
  const service = run('clean')
  await service.until('ready')
  service.command('stop')
  assert.is(await service.exit(), 0)
  assert.is(service.onlyLine('closing')?.why, 'notice')
  assert.equal(service.closedPhases(), allPhases)
})

for (const [mode, phase, message] of [
  ['rejects', 'middle', 'cannot close'],
  ['throws', 'last-opened', 'cannot close'],
  ['late', 'middle', 'Closing did not end within 20 ms.'],
] as const) {
  test(`a phase that fails to close (${mode}) is logged by name, the others close and the exit code is 1`, async () => {
    const service = run(mode)
    await service.until('ready')
    service.kill('SIGTERM')
    assert.is(await service.exit(), 1)
    const line = service.onlyLine('close-failed')
    assert.equal([line?.phase, line?.err?.message], [phase, message])
    assert.equal(
      service.closedPhases(),
      allPhases.filter((name) => name !== phase),
    )
    assert.is(service.onlyLine('closed')?.exitCode, 1)
  })
}

for (const [command, origin, message] of [
  ['throw', 'uncaughtException', 'thrown'],
  ['reject', 'unhandledRejection', 'rejected'],
] as const) {
  test(`an ${origin} is logged as fatal, the phases close and the exit code is 1`, async () => {
    const service = run('clean')
    await service.until('ready')
    service.command(command)
    assert.is(await service.exit(), 1)
    const line = service.onlyLine('crashed')
    assert.equal([line?.level, line?.origin, line?.step, line?.err?.message], [fatal, origin, 'run', message])
    assert.equal(service.closedPhases(), allPhases)
    assert.is(service.onlyLine('middle')?.afterFailure, true)
  })
}

test('after a crash a phase that hangs is abandoned at the deadline for failures', async () => {
  const service = run('hangs', { failureDeadlineMs: 20 })
  await service.until('ready')
  service.command('throw')
  assert.is(await service.exit(), 1)
  assert.is(service.onlyLine('close-failed')?.phase, 'middle')
  assert.equal(service.closedPhases(), ['last-opened', 'first-opened'])
})

test('a crash while a phase closes shortens its deadline and makes the exit code 1', async () => {
  const service = run('crashes-while-closing', { failureDeadlineMs: 20 })
  await service.until('ready')
  service.kill('SIGTERM')
  assert.is(await service.exit(), 1)
  assert.is(service.onlyLine('crashed')?.step, 'close middle')
  assert.is(service.onlyLine('close-failed')?.phase, 'middle')
  assert.equal(service.closedPhases(), ['last-opened', 'first-opened'])
})

test('a start that fails is logged as fatal in one line, closes what it opened and exits with 1', async () => {
  const service = run('start-fails')
  assert.is(await service.exit(), 1)
  const line = service.onlyLine('start-failed')
  assert.equal([line?.level, line?.err?.message], [fatal, 'port is taken'])
  assert.equal(service.closedPhases(), allPhases)
})

test('a start that exceeds its deadline fails', async () => {
  const service = run('start-hangs', { startDeadlineMs: 20 })
  assert.is(await service.exit(), 1)
  assert.is(service.onlyLine('start-failed')?.err?.message, 'The start did not end within 20 ms.')
  assert.equal(service.closedPhases(), allPhases)
})

test('SIGTERM during the start closes what is open and exits with 0', async () => {
  const service = run('start-hangs')
  await service.until('ready')
  service.kill('SIGTERM')
  assert.is(await service.exit(), 0)
  assert.equal(service.closedPhases(), allPhases)
})

test('a second signal ends a service whose shutdown hangs at once, with exit code 1', async () => {
  const service = run('hangs', { repeatedSignalMs: 0 })
  await service.until('ready')
  service.kill('SIGTERM')
  await service.until('middle')
  service.kill('SIGTERM')
  assert.is(await service.exit(), 1)
  assert.is(service.onlyLine('close-interrupted')?.step, 'close middle')
})

test('two signals at the same time close a service once', async () => {
  const service = run('clean')
  await service.until('ready')
  service.kill('SIGINT')
  service.kill('SIGTERM')
  assert.is(await service.exit(), 0)
  assert.equal(service.closedPhases(), allPhases)
})

test('all lines of a megabyte of log reach a reader before the process exits', async () => {
  const service = run('long-lines')
  await service.until('ready')
  service.kill('SIGTERM')
  assert.is(await service.exit(), 0)
  assert.is(service.lines.at(-1)?.event, 'closed')
})

test('a service whose log reader is gone closes and exits with 0', async () => {
  const service = run('long-lines')
  await service.until('ready')
  service.child.stdout.destroy()
  await once(service.child.stdout, 'close')
  service.kill('SIGTERM')
  assert.is(await service.exit(), 0)
})

test.run()
