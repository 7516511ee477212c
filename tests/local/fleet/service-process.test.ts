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
let printed: string[]

test.before.each(async () => {
  logDirectory = await mkdtemp(join(tmpdir(), 'millrace-service-'))
  printed = []
})

test.after.each(() => rm(logDirectory, { recursive: true }))

/** Starts the stub service; `nextPort` waits until it is ready again. */
function start(
  mode: string,
  options: { verbose?: boolean; stopTimeoutMs?: number; print?: (line: string) => void } = {},
) {
  const ports: number[] = []
  let wake = () => {}
  let exits = 0
  const service = startServiceProcess({
    name: 'api-1',
    entry,
    environment: { ...process.env, SERVICE_MODE: mode, INSTANCE: 'api-1' },
    logDirectory,
    print: (line) => printed.push(line),
    onReady(port) {
      if (port !== undefined) ports.push(port)
      wake()
    },
    onExit() {
      exits += 1
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
  return { service, nextPort, exits: () => exits }
}

const isRunning = (pid: number | undefined) => listProcesses().some((process) => process.pid === pid)
const getInstance = async (port: number): Promise<Record<string, unknown>> =>
  Object(await (await fetch(`http://127.0.0.1:${port}/`)).json())

test('a service is ready after its ready message, and stop() ends it', async () => {
  const { service, nextPort, exits } = start('works')
  await service.ready
  const port = await nextPort()
  const pid = service.pid()
  assert.equal(await getInstance(port), { instance: 'api-1', pid })
  await service.stop()
  assert.not(isRunning(pid))
  assert.is(exits(), 1)
  const log = await readFile(join(logDirectory, 'api-1.log'), 'utf8')
  assert.match(log, '"event":"closing"')
})

test('only warnings of a service are printed unless verbose is on', async () => {
  const quiet = start('works')
  await quiet.service.ready
  await quiet.service.stop()
  assert.equal(printed, ['api-1 warning: a warning'])

  const verbose = start('works', { verbose: true })
  await verbose.service.ready
  await verbose.service.stop()
  assert.ok(printed.includes('api-1 info: listening'))
})

test('a killed service is restarted on a new port', async () => {
  const { service, nextPort, exits } = start('works')
  const first = await nextPort()
  const pid = service.pid()
  assert.ok(pid)
  process.kill(pid, 'SIGKILL')
  const second = await nextPort()
  assert.is(exits(), 1)
  assert.is.not((await getInstance(second))['pid'], pid)
  assert.ok(printed.includes('api-1 exited (SIGKILL); restarting it.'))
  await assertRefused(first)
  await service.stop()
})

/** Returns the name, the exit code and the lines of the error with which a start ends. */
async function startError(mode: string) {
  const { service } = start(mode)
  const error = await service.ready.then(
    () => undefined,
    (reason) => reason,
  )
  await service.stop()
  return { name: error?.name, exitCode: error?.exitCode, lines: String(error?.message).split('\n') }
}

test('a service that is never ready fails after three starts, with its last error once', async () => {
  const log = join(logDirectory, 'api-1.log')
  const { name, exitCode, lines } = await startError('fails')
  assert.equal([name, exitCode], ['StartError', 1])
  assert.equal(lines, [`api-1 does not start: cannot go on: the reason. Its log: ${log}`])
  assert.equal(printed, [])
  assert.is((await readFile(log, 'utf8')).match(/cannot go on/g)?.length, 3)
})

test('a service that crashes at its start fails with the error of the crash, without a stack trace', async () => {
  const { lines } = await startError('crashes')
  assert.equal(lines, [
    `api-1 does not start: TypeError: a crash. Its log: ${join(logDirectory, 'api-1.log')}`,
  ])
})

test('a service with wrong settings is started once, and each problem is one line', async () => {
  const { name, exitCode, lines } = await startError('wrong-settings')
  assert.equal([name, exitCode], ['StartError', 2])
  assert.equal(lines, ['QUOTA is wrong.', 'PRESETS is wrong.'])
  assert.equal(printed, [])
})

test('a service that does not stop within its timeout is killed', async () => {
  const { service } = start('ignores-sigterm', { stopTimeoutMs: 200 })
  await service.ready
  const pid = service.pid()
  await service.stop()
  assert.not(isRunning(pid))
  assert.ok(printed.includes('api-1 did not stop within 0.2 s and was killed.'))
})

test('stop() lets a stopped service continue, so that it shuts down in order', async () => {
  const { service } = start('works')
  await service.ready
  const pid = service.pid()
  assert.ok(pid)
  process.kill(pid, 'SIGSTOP')
  await service.stop()
  assert.not(isRunning(pid))
  assert.not(printed.some((line) => line.includes('did not stop')))
  const log = await readFile(join(logDirectory, 'api-1.log'), 'utf8')
  assert.match(log, '"event":"closing"')
})

test('a service that is stopped while it waits for its restart is not started again', async () => {
  const waits = Promise.withResolvers<void>()
  const { service } = start('works', {
    print(line) {
      printed.push(line)
      if (line.endsWith('restarting it.')) waits.resolve()
    },
  })
  await service.ready
  process.kill(service.pid() ?? 0, 'SIGKILL')
  await waits.promise
  await service.stop()
  assert.not(isRunning(service.pid()))
  const log = await readFile(join(logDirectory, 'api-1.log'), 'utf8')
  assert.is(log.match(/"event":"listening"/g)?.length, 1)
})

test('a service exits when its supervisor is killed', async () => {
  const starter = spawn(process.execPath, [join(fixtures, 'start-service.ts'), entry, logDirectory], {
    env: { ...process.env, SERVICE_MODE: 'works', INSTANCE: 'api-1' },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const [line]: string[] = await once(createInterface({ input: starter.stdout }), 'line')
  const port = Number(line)
  const connection = connect(port, '127.0.0.1')
  await once(connection, 'connect')
  const closed = once(connection.resume(), 'close')
  starter.kill('SIGKILL')
  await closed
  await assertRefused(port)
})

async function assertRefused(port: number) {
  const [error]: Error[] = await once(connect(port, '127.0.0.1'), 'error')
  assert.match(error?.message ?? '', 'ECONNREFUSED')
}

test.run()
