import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { startServiceProcess } from '@millrace/local/fleet/service-process.ts'
import * as assert from 'uvu/assert'
import { listProcesses } from '../../support/process-list.ts'
import { suite } from '../../support/suite.ts'

const fixtures = join(import.meta.dirname, '../../fixtures/services')
const entry = join(fixtures, 'stub-service.ts')

const test = suite('service process')
let logDirectory: string
let shown: string[]

test.before.each(async () => {
  logDirectory = await mkdtemp(join(tmpdir(), 'millrace-service-'))
  shown = []
})

test.after.each(() => rm(logDirectory, { recursive: true }))

/** Starts the stand-in; `nextPort` waits for its next readiness. */
function start(mode: string, options: { verbose?: boolean; stopLimitMs?: number } = {}) {
  const ports: number[] = []
  let wake = () => {}
  let gone = 0
  const service = startServiceProcess({
    name: 'api-1',
    entry,
    environment: { ...process.env, SERVICE_MODE: mode, INSTANCE: 'api-1' },
    readyEvent: 'listening',
    logDirectory,
    say: (line) => shown.push(line),
    onReady(port) {
      if (port !== undefined) ports.push(port)
      wake()
    },
    onGone() {
      gone += 1
    },
    ...options,
  })
  const nextPort = async () => {
    while (ports.length === 0) {
      await new Promise<void>((resolve) => {
        wake = resolve
      })
    }
    return ports.shift() ?? 0
  }
  return { service, nextPort, gone: () => gone }
}

const isRunning = (pid: number | undefined) => listProcesses().some((process) => process.pid === pid)
const answer = async (port: number): Promise<Record<string, unknown>> =>
  Object(await (await fetch(`http://127.0.0.1:${port}/`)).json())

test('is ready when the service says so, and stops it', async () => {
  const { service, nextPort, gone } = start('works')
  await service.ready
  const port = await nextPort()
  const pid = service.pid()
  assert.equal(await answer(port), { instance: 'api-1', pid })
  await service.stop()
  assert.not(isRunning(pid))
  assert.is(gone(), 1)
  const log = await readFile(join(logDirectory, 'api-1.log'), 'utf8')
  assert.match(log, '"event":"closing"')
})

test('shows warnings only, unless it is verbose', async () => {
  const quiet = start('works')
  await quiet.service.ready
  await quiet.service.stop()
  assert.equal(shown, ['api-1 warning: a warning'])

  const verbose = start('works', { verbose: true })
  await verbose.service.ready
  await verbose.service.stop()
  assert.ok(shown.includes('api-1 info: listening'))
})

test('starts a killed service again, on a port of its own', async () => {
  const { service, nextPort, gone } = start('works')
  const first = await nextPort()
  const pid = service.pid()
  assert.ok(pid)
  process.kill(pid, 'SIGKILL')
  const second = await nextPort()
  assert.is(gone(), 1)
  assert.is.not((await answer(second))['pid'], pid)
  assert.ok(shown.includes('api-1 ended (SIGKILL); starting it again.'))
  await assertRefused(first)
  await service.stop()
})

test('gives up on a service that never gets ready, with its last words', async () => {
  const { service } = start('fails')
  const error = await service.ready.then(
    () => undefined,
    (reason) => reason,
  )
  assert.is(error?.name, 'StartError')
  assert.match(error.message, 'api-1 does not start; it ended 3 times (exit code 3).')
  assert.match(error.message, 'error: cannot go on: the reason')
  await service.stop()
})

test('kills a service that does not stop in time', async () => {
  const { service } = start('ignores-sigterm', { stopLimitMs: 200 })
  await service.ready
  const pid = service.pid()
  await service.stop()
  assert.not(isRunning(pid))
  assert.ok(shown.includes('api-1 did not stop within 0.2 s and was killed.'))
})

test('stops while it waits to start a service again', async () => {
  const { service } = start('fails')
  await service.stop()
  assert.not(isRunning(service.pid()))
})

test('leaves no service behind when the supervisor is killed', async () => {
  const starter = spawn(process.execPath, [join(fixtures, 'start-service.ts'), entry, logDirectory], {
    env: { ...process.env, SERVICE_MODE: 'works', INSTANCE: 'api-1' },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const [line]: string[] = await once(createInterface({ input: starter.stdout }), 'line')
  const port = Number(line)
  const connection = connect(port, '127.0.0.1')
  await once(connection, 'connect')
  const gone = once(connection.resume(), 'close')
  starter.kill('SIGKILL')
  await gone
  await assertRefused(port)
})

async function assertRefused(port: number) {
  const [error]: Error[] = await once(connect(port, '127.0.0.1'), 'error')
  assert.match(error?.message ?? '', 'ECONNREFUSED')
}

test.run()
