import { setInterval as every } from 'node:timers/promises'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { createHttpClient } from '../../support/http-client.ts'
import { openConnection } from '../../support/raw-connection.ts'
import { announce } from '../../support/send-upload.ts'
import { suite } from '../../support/suite.ts'

const test = suite('slow clients')
const limitMs = 400
let api: ApiInstances
let port: number

test.before(async () => {
  api = await startApiInstances({
    environment: { HEADERS_TIMEOUT_MS: String(limitMs), SLOW_BODY_MS: String(limitMs) },
  })
  port = Number(new URL(api.url).port)
})
test.after(() => api.close())

/** Sends a byte at a time until the other side closes. @returns what came back */
async function drip(start: string, byte: string) {
  const connection = await openConnection(port)
  connection.send(start)
  for await (const _ of every(40)) {
    if (!connection.isOpen()) break
    connection.send(byte)
  }
  return connection.closed
}

function assertTimeout(answer: string) {
  assert.match(answer, /^HTTP\/1\.1 408 /)
  assert.match(answer, /content-type: application\/problem\+json/)
  assert.match(answer, /connection: close/)
  assert.match(answer, /"code":"request_timeout"/)
}

const announcement = 'POST /uploads HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n'

test('headers that come drop by drop are not waited for', async () => {
  assertTimeout(await drip('GET /session HTTP/1.1\r\nhost: x\r\nx-slow: ', 'a'))
})

test('a connection that says nothing is closed', async () => {
  const connection = await openConnection(port)
  assertTimeout(await connection.closed)
})

test('a JSON body that comes drop by drop is not waited for', async () => {
  assertTimeout(await drip(`${announcement}content-length: 60000\r\n\r\n{`, ' '))
})

test('nor is one in chunks', async () => {
  assertTimeout(await drip(`${announcement}transfer-encoding: chunked\r\n\r\n`, '1\r\n \r\n'))
})

test('nor is one that stops', async () => {
  const connection = await openConnection(port)
  connection.send(`${announcement}content-length: 200\r\n\r\n{"filename":`)
  assertTimeout(await connection.closed)
})

test('nor is the body of a request that has been answered', async () => {
  const connection = await openConnection(port)
  connection.send('POST /nowhere HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n')
  const answer = await connection.closed
  assert.match(answer, /^HTTP\/1\.1 404 /)
  assert.is(answer.split('HTTP/1.1').length, 2)
})

test('a body that takes long but comes fast enough is', async () => {
  const connection = await openConnection(port)
  const body = JSON.stringify({ filename: 'a', contentType: 'a/b', size: 1 }).padEnd(20_000)
  connection.send(`${announcement}connection: close\r\ncontent-length: ${body.length}\r\n\r\n`)
  const startedAt = performance.now()
  let sent = 0
  for await (const _ of every(50)) {
    if (sent >= body.length) break
    connection.send(body.slice(sent, sent + 1000))
    sent += 1000
  }
  assert.ok(performance.now() - startedAt > 2 * limitMs)
  assert.match(await connection.closed, /^HTTP\/1\.1 201 /)
})

test('a stream of events lives longer than any limit on requests', async () => {
  const client = createHttpClient(api.url)
  const { id } = await announce(client, 5)
  const events = await openConnection(port)
  events.send(`GET /uploads/${id}/events HTTP/1.1\r\nhost: x\r\ncookie: ${client.cookie}\r\n\r\n`)
  await events.until('event: upload')
  // Another connection is closed for being slow after the stream was opened, and the stream is not.
  for (let round = 0; round < 2; round++) assertTimeout(await (await openConnection(port)).closed)
  assert.ok(events.isOpen())
  events.destroy()
  await events.closed
})

test('an idle connection is kept for longer than a load balancer keeps it', () => {
  assert.ok(api.app.server.keepAliveTimeout > 60_000)
  assert.is(api.app.server.requestTimeout, 0)
})

for (const [what, text, status, code] of [
  ['no HTTP at all', 'hello\r\n\r\n', 400, 'invalid_request'],
  ['a TLS handshake', '\u0016\u0003\u0001\u0002\u0000', 400, 'invalid_request'],
  [
    'headers that are too large',
    `GET / HTTP/1.1\r\nx: ${'x'.repeat(17_000)}\r\n\r\n`,
    431,
    'headers_too_large',
  ],
  ['no host', 'GET /session HTTP/1.1\r\nconnection: close\r\n\r\n', 400, 'invalid_request'],
  ['an odd expectation', 'GET / HTTP/1.1\r\nhost: x\r\nexpect: tea\r\n\r\n', 400, 'invalid_request'],
  ['two lengths', `${announcement}content-length: 1\r\ncontent-length: 2\r\n\r\n{}`, 400, 'invalid_request'],
  [
    'a length and chunks',
    `${announcement}content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n{}`,
    400,
    'invalid_request',
  ],
  ['a bad percent sign', 'GET /%zz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n', 400, 'invalid_request'],
  [
    'a path that is too long',
    `GET /uploads/${'x'.repeat(300)} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`,
    400,
    'invalid_request',
  ],
] satisfies [string, string, number, string][]) {
  test(`${what} is answered with ${status}`, async () => {
    const connection = await openConnection(port)
    connection.send(Buffer.from(text, 'latin1'))
    const answer = await connection.closed
    assert.match(answer, new RegExp(`^HTTP/1.1 ${status} `))
    assert.match(answer, /content-type: application\/problem\+json/)
    assert.match(answer, /x-content-type-options: nosniff/i)
    assert.match(answer, `"code":"${code}"`)
    assert.match(answer, /"requestId":"[0-9a-f-]{36}"/)
  })
}

test.run()
