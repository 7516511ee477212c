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

/** Sends `start`, then `byte` every 40 ms until the server closes the connection. Returns the received text. */
async function sendSlowly(start: string, byte: string) {
  const connection = await openConnection(port)
  connection.send(start)
  for await (const _ of every(40)) {
    if (!connection.isOpen()) break
    connection.send(byte)
  }
  return connection.closed
}

function assertTimeout(response: string) {
  assert.match(response, /^HTTP\/1\.1 408 /)
  assert.match(response, /content-type: application\/problem\+json/)
  assert.match(response, /connection: close/)
  assert.match(response, /"code":"request_timeout"/)
}

const announcement = 'POST /uploads HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n'

test('headers that arrive byte by byte are timed out', async () => {
  assertTimeout(await sendSlowly('GET /session HTTP/1.1\r\nhost: localhost\r\nx-slow: ', 'a'))
})

test('a connection that sends nothing is timed out', async () => {
  const connection = await openConnection(port)
  assertTimeout(await connection.closed)
})

test('a JSON body that arrives byte by byte is timed out', async () => {
  assertTimeout(await sendSlowly(`${announcement}content-length: 60000\r\n\r\n{`, ' '))
})

test('a chunked JSON body that arrives byte by byte is timed out', async () => {
  assertTimeout(await sendSlowly(`${announcement}transfer-encoding: chunked\r\n\r\n`, '1\r\n \r\n'))
})

test('a JSON body that stops is timed out', async () => {
  const connection = await openConnection(port)
  connection.send(`${announcement}content-length: 200\r\n\r\n{"filename":`)
  assertTimeout(await connection.closed)
})

test('after an early response, the rest of the body is timed out', async () => {
  const connection = await openConnection(port)
  connection.send('POST /nowhere HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100000\r\n\r\n')
  const response = await connection.closed
  assert.match(response, /^HTTP\/1\.1 404 /)
  assert.is(response.split('HTTP/1.1').length, 2)
})

test('an event stream stays open longer than the timeouts of requests', async () => {
  const client = createHttpClient(api.url)
  const { id } = await announce(client, 5)
  const events = await openConnection(port)
  events.send(`GET /uploads/${id}/events HTTP/1.1\r\nhost: localhost\r\ncookie: ${client.cookie}\r\n\r\n`)
  await events.until('event: upload')
  // Connections that were opened after the stream are timed out, while the stream stays open.
  for (let round = 0; round < 2; round++) assertTimeout(await (await openConnection(port)).closed)
  assert.ok(events.isOpen())
  events.destroy()
  await events.closed
})

test("the idle timeout of connections is longer than a load balancer's", () => {
  assert.ok(api.app.server.keepAliveTimeout > 60_000)
  assert.is(api.app.server.requestTimeout, 0)
})

for (const [defect, text, status, code] of [
  ['text that is not HTTP', 'hello\r\n\r\n', 400, 'invalid_request'],
  ['a TLS handshake', '\u0016\u0003\u0001\u0002\u0000', 400, 'invalid_request'],
  [
    'headers that are too large',
    `GET / HTTP/1.1\r\nx: ${'x'.repeat(17_000)}\r\n\r\n`,
    431,
    'headers_too_large',
  ],
  [
    'a request without Host header',
    'GET /session HTTP/1.1\r\nconnection: close\r\n\r\n',
    400,
    'invalid_request',
  ],
  [
    'an unknown expectation',
    'GET / HTTP/1.1\r\nhost: localhost\r\nexpect: tea\r\n\r\n',
    400,
    'invalid_request',
  ],
  [
    'two Content-Length headers',
    `${announcement}content-length: 1\r\ncontent-length: 2\r\n\r\n{}`,
    400,
    'invalid_request',
  ],
  [
    'Content-Length and chunked encoding',
    `${announcement}content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n{}`,
    400,
    'invalid_request',
  ],
  [
    'invalid percent-encoding in the path',
    'GET /%zz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n',
    400,
    'invalid_request',
  ],
  [
    'a path that is too long',
    `GET /uploads/${'x'.repeat(300)} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n`,
    400,
    'invalid_request',
  ],
] satisfies [string, string, number, string][]) {
  test(`the response to ${defect} is a problem with status ${status}`, async () => {
    const connection = await openConnection(port)
    connection.send(Buffer.from(text, 'latin1'))
    const response = await connection.closed
    assert.match(response, new RegExp(`^HTTP/1.1 ${status} `))
    assert.match(response, /content-type: application\/problem\+json/)
    assert.match(response, /x-content-type-options: nosniff/i)
    assert.match(response, `"code":"${code}"`)
    assert.match(response, /"requestId":"[0-9a-f-]{36}"/)
  })
}

test.run()
