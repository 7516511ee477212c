import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { request } from 'node:http'
import { connect } from 'node:net'
import { createInterface } from 'node:readline'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { Ready } from '@millrace/api/fleet/health-routes.ts'
import { Announced } from '@millrace/api/uploads/upload-routes.ts'
import { Compile } from 'typebox/compile'
import * as assert from 'uvu/assert'
import { type ApiCloud, startApiCloud } from '../../support/api-cloud.ts'
import { bodyOf, createHttpClient } from '../../support/http-client.ts'
import { processEnvironment } from '../../support/process-environment.ts'
import { announce } from '../../support/send-upload.ts'
import { suite } from '../../support/suite.ts'

const test = suite('graceful close')
const main = fileURLToPath(import.meta.resolve('@millrace/api/main.ts'))
/** Preloaded: an exception that nothing catches, when the test wants it. */
const throwOnSignal = `data:text/javascript,process.on('SIGUSR2', () => { throw new Error('crash') })`
let cloud: ApiCloud

test.before(async () => {
  cloud = await startApiCloud()
})
test.after(() => cloud.close())

/** Starts an instance as a separate process, as in production. */
async function startProcess(environment: Record<string, string> = {}) {
  const child = spawn(process.execPath, [main], {
    env: { ...processEnvironment(), ...cloud.environment, LOG_LEVEL: 'info', PORT: '0', ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const url = await new Promise<string>((resolve, reject) => {
    child.once('exit', (code) => reject(new Error(`The API ended with ${code}.`)))
    createInterface(child.stdout).on('line', (line) => {
      const { event, port } = JSON.parse(line)
      if (event === 'listening') resolve(`http://127.0.0.1:${port}`)
    })
  })
  return { child, url }
}

async function exitCode(child: ChildProcess): Promise<number | null> {
  if (child.exitCode === null) await once(child, 'exit')
  return child.exitCode
}

/** Ends an instance that has a stream of events, an active request and a connection without a request. */
async function endBySignal() {
  const { child, url } = await startProcess({ S3_PUBLIC_ENDPOINT: 'http://127.0.0.1:9' })
  const client = createHttpClient(url)
  const { id } = await announce(client, 7)
  const events = await fetch(`${url}/uploads/${id}/events`, { headers: { cookie: client.cookie ?? '' } })
  const stream = events.body?.pipeThrough(new TextDecoderStream()).getReader()
  let part = await stream?.read()
  while (part && !part.done && !part.value.includes('event: upload')) part = await stream?.read()
  assert.not(part?.done, 'the stream tells the upload')

  const body = JSON.stringify({ filename: 'a', contentType: 'a/b', size: 7 })
  const slow = request(`${url}/uploads`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'content-length': body.length, expect: '100-continue' },
  })
  slow.flushHeaders()
  await once(slow, 'continue')
  const unused = connect(Number(new URL(url).port), '127.0.0.1')
  await once(unused, 'connect')
  // After a response on a later connection, the instance has accepted the unused one.
  await (await fetch(`${url}/health`)).text()
  const unusedClosed = once(unused.resume(), 'close')
  const responded = once(slow, 'response')
  child.kill('SIGTERM')
  // As on Ctrl-C, when npm passes the terminal's signal on.
  child.kill('SIGINT')
  while (part && !part.done) part = await stream?.read()
  // The active request has not ended.
  await unusedClosed
  slow.end(body)
  const [response] = await responded
  return { response, body: await text(response), unused, code: await exitCode(child) }
}
let ending: ReturnType<typeof endBySignal> | undefined
const endedBySignal = () => (ending ??= endBySignal())

test('on SIGTERM the API ends event streams, finishes active requests and exits with 0, also if SIGINT follows at once', async () => {
  const { response, body, code } = await endedBySignal()
  assert.is(response.statusCode, 201)
  const { transport } = Compile(Announced).Parse(JSON.parse(body))
  assert.match(JSON.stringify(transport), '"http://127.0.0.1:9/millrace', 'signed for where clients reach S3')
  assert.is(code, 0)
})

test('closing does not wait for connections without a request', async () => {
  const { unused } = await endedBySignal()
  assert.ok(unused.closed)
})

test('/ready returns 503 before the instance stops accepting requests', async () => {
  const { child, url } = await startProcess({ CLOSE_DELAY_MS: '3600000' })
  child.kill('SIGTERM')
  const client = createHttpClient(url)
  let ready = await client.request('GET', '/ready')
  // The signal may arrive after the first request.
  while (ready.status === 200) ready = await client.request('GET', '/ready')
  assert.is(bodyOf(ready, Ready).status, 'draining')
  assert.is((await client.request('GET', '/health')).status, 200)
  assert.is((await client.request('GET', '/session')).status, 200)
  child.kill('SIGKILL')
  await exitCode(child)
})

/** Starts an instance that is expected to end. @returns its exit code and the records that it logged */
async function runToEnd(environment: Record<string, string>, whenListening?: (child: ChildProcess) => void) {
  const child = spawn(process.execPath, ['--import', throwOnSignal, main], {
    env: { ...processEnvironment(), ...cloud.environment, LOG_LEVEL: 'info', PORT: '0', ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const records: { level: number; event?: string; err?: { message: string } }[] = []
  createInterface(child.stdout).on('line', (line) => {
    const record = JSON.parse(line)
    records.push(record)
    if (record.event === 'listening') whenListening?.(child)
  })
  const [errors] = await Promise.all([text(child.stderr), once(child, 'close')])
  return { code: child.exitCode, records, errors }
}

test('an instance whose port is taken logs one fatal line and exits with 1', async () => {
  const { code, records, errors } = await runToEnd({ PORT: new URL(cloud.endpoints.s3).port })
  assert.is(code, 1)
  assert.is(errors, '')
  const fatal = records.filter(({ level }) => level === 60)
  assert.equal(
    fatal.map(({ event, err }) => [event, err?.message.split(' ')[1]]),
    [['start-failed', 'EADDRINUSE:']],
  )
})

test('an instance that crashes logs a fatal line, closes and exits with 1', async () => {
  const { code, records, errors } = await runToEnd({ CLOSE_DELAY_MS: '3600000' }, (child) => {
    child.kill('SIGUSR2')
  })
  assert.is(code, 1)
  assert.is(errors, '')
  assert.equal(
    records.map(({ event }) => event).filter((event) => event !== undefined),
    ['listening', 'crashed', 'closing', 'closed'],
  )
})

test.run()
