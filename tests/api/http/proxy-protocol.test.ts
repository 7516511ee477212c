import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import { acceptProxyProtocol } from '@millrace/api/http/proxy-protocol.ts'
import { Problem } from '@millrace/api/requests/problem.ts'
import { Compile } from 'typebox/compile'
import * as assert from 'uvu/assert'
import { openConnection } from '../../support/raw-connection.ts'
import { suite } from '../../support/suite.ts'

const test = suite('PROXY protocol')
const problem = Compile(Problem)
let server: Server
let port: number

test.before.each(async () => {
  server = createServer(async (request, response) => {
    const { remoteAddress, localAddress } = request.socket
    let size = 0
    for await (const chunk of request) size += chunk.length
    response.end(`[${request.url} ${remoteAddress} ${localAddress} ${size}]`)
  })
  // Long enough for a busy process, in which the timer would otherwise end before the line is read.
  acceptProxyProtocol(server, { timeoutMs: 1_000 })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  assert.ok(typeof address === 'object' && address)
  port = address.port
})
test.after.each(async () => {
  server.close()
  server.closeAllConnections()
  await once(server, 'close')
})

const line = 'PROXY TCP4 192.0.2.1 198.51.100.7 5000 3000\r\n'
const get = 'GET /a HTTP/1.1\r\nhost: x\r\n\r\n'
const last = 'GET /b HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n'

async function assertRefused(start: string) {
  const connection = await openConnection(port)
  connection.send(start)
  const [head = '', body = ''] = (await connection.closed).split('\r\n\r\n')
  assert.match(head, /^HTTP\/1\.1 400 /)
  assert.is(problem.Parse(JSON.parse(body)).code, 'invalid_request')
}

test('the addresses of the line are those of all requests of the connection', async () => {
  for (const chunks of [[line + get + last], [line, get, last], [...(line + get + last)]]) {
    const connection = await openConnection(port)
    for (const chunk of chunks) await connection.sendAll(chunk)
    const received = await connection.closed
    assert.match(received, '[/a 192.0.2.1 198.51.100.7 0]')
    assert.match(received, '[/b 192.0.2.1 198.51.100.7 0]')
  }
  const connection = await openConnection(port)
  connection.send(`PROXY TCP6 2001:db8::1 2001:db8::2 5000 3000\r\n${last}`)
  assert.match(await connection.closed, '[/b 2001:db8::1 2001:db8::2 0]')
})

test('a body that follows the line arrives completely', async () => {
  const size = 20_000_000
  const connection = await openConnection(port)
  connection.send(`${line}POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: ${size}\r\n\r\n`)
  await connection.sendAll(Buffer.alloc(size))
  connection.send(last)
  const received = await connection.closed
  assert.match(received, `[/a 192.0.2.1 198.51.100.7 ${size}]`)
  assert.match(received, '[/b 192.0.2.1 198.51.100.7 0]')
})

test('with UNKNOWN, the addresses are those of the connection', async () => {
  const connection = await openConnection(port)
  connection.send(`PROXY UNKNOWN\r\n${last}`)
  assert.match(await connection.closed, '[/b 127.0.0.1 127.0.0.1 0]')
})

test('a connection without a valid line is refused', async () => {
  await assertRefused(get)
  await assertRefused(`PROXY TCP4 192.0.2.1 198.51.100.7 5000\r\n${get}`)
  await assertRefused(`PROXY TCP4 evil.test 198.51.100.7 5000 3000\r\n${get}`)
  await assertRefused(`PROXY TCP4 192.0.2.1 x 5000 3000\r\n${get}`)
  await assertRefused(`${'x'.repeat(200)}\r\n${get}`)
  await assertRefused('x'.repeat(107))
})

test('a connection is closed if the line does not arrive in time, or if the client closes it', async () => {
  const silent = await openConnection(port)
  const partial = await openConnection(port)
  partial.send('PROXY TCP4')
  const ended = await openConnection(port)
  ended.end()
  assert.equal(await Promise.all([silent.closed, partial.closed, ended.closed]), ['', '', ''])
})

test.run()
