import { once } from 'node:events'
import { Agent, createServer as createHttpServer, request, type Server } from 'node:http'
import { connect, createServer, type Socket } from 'node:net'
import { acceptProxyProtocol } from '@millrace/api/http/proxy-protocol.ts'
import { startLoadBalancer } from '@millrace/local/fleet/load-balancer.ts'
import * as assert from 'uvu/assert'
import { openConnection } from '../../support/raw-connection.ts'
import { suite } from '../../support/suite.ts'

const test = suite('load balancer')
const opened: Server[] = []

test.after.each(async () => {
  for (const server of opened.splice(0)) {
    server.closeAllConnections()
    server.close()
    await once(server, 'close')
  }
})

/** Starts an instance that responds with its name and the size of the request body. @returns its port */
async function startInstance(name: string) {
  const server = createHttpServer(async (incoming, response) => {
    let size = 0
    for await (const chunk of incoming) size += chunk.length
    response.end(`${name} ${size}`)
  })
  acceptProxyProtocol(server, { timeoutMs: 5_000 })
  server.listen(0, '127.0.0.1')
  opened.push(server)
  await once(server, 'listening')
  return portOf(server)
}

function portOf(server: { address(): unknown }) {
  const address = server.address()
  assert.ok(address && typeof address === 'object' && 'port' in address && typeof address.port === 'number')
  return address.port
}

/** Sends one request, on a new connection unless an agent is given. Returns after the whole body was sent. */
async function send(port: number, body: string | Buffer = '', agent: Agent | false = false) {
  const outgoing = request({ host: '127.0.0.1', port, method: 'POST', agent })
  const closed = once(outgoing, 'close')
  outgoing.end(body)
  const [response] = await once(outgoing, 'response')
  let text = ''
  for await (const chunk of response) text += chunk
  await closed
  return { status: response.statusCode, headers: response.headers, text }
}

/** Starts a TCP server that does not respond. @returns its port; its first connection; and `close()` */
async function startSilentInstance() {
  const server = createServer().listen(0, '127.0.0.1')
  const connection = once(server, 'connection').then(([socket]: Socket[]) => {
    assert.ok(socket)
    return socket.resume().on('error', () => {})
  })
  await once(server, 'listening')
  return { port: portOf(server), connection, close: () => server.close() }
}

const assertUnavailable = (response: string) => {
  const [head = '', body = ''] = response.split('\r\n\r\n')
  assert.match(head, /^HTTP\/1\.1 503 /)
  assert.match(head, '\r\nretry-after: 1\r\n')
  assert.match(head, '\r\nconnection: close')
  assert.is(JSON.parse(body).status, 503)
}

const sendSeveral = async (port: number, times: number) => {
  const texts: string[] = []
  for (let index = 0; index < times; index += 1) texts.push((await send(port)).text)
  return texts
}

test('the balancer forwards connections to the instances in turn', async () => {
  const balancer = await startLoadBalancer({ host: '127.0.0.1', port: 0 })
  for (const name of ['a', 'b', 'c']) balancer.add(await startInstance(name))
  const texts = await sendSeveral(balancer.port, 6)
  assert.equal(texts, ['a 0', 'b 0', 'c 0', 'a 0', 'b 0', 'c 0'])
  await balancer.close()
})

test('the balancer forwards no connection to a removed instance', async () => {
  const balancer = await startLoadBalancer({ host: '127.0.0.1', port: 0 })
  const removed = await startInstance('removed')
  balancer.add(removed)
  balancer.add(await startInstance('stays'))
  balancer.remove(removed)
  assert.equal(await sendSeveral(balancer.port, 3), ['stays 0', 'stays 0', 'stays 0'])
  await balancer.close()
})

test('the balancer tries the next instance if one refuses the connection', async () => {
  const balancer = await startLoadBalancer({ host: '127.0.0.1', port: 0 })
  const closed = createServer().listen(0, '127.0.0.1')
  await once(closed, 'listening')
  balancer.add(portOf(closed))
  closed.close()
  await once(closed, 'close')
  balancer.add(await startInstance('stays'))
  assert.equal(await sendSeveral(balancer.port, 3), ['stays 0', 'stays 0', 'stays 0'])
  await balancer.close()
})

test('without an instance, the balancer responds 503 with a problem and Retry-After', async () => {
  const balancer = await startLoadBalancer({ host: '127.0.0.1', port: 0 })
  const { status, headers, text } = await send(balancer.port)
  assert.is(status, 503)
  assert.is(headers['content-type'], 'application/problem+json')
  assert.is(headers['content-length'], String(Buffer.byteLength(text)))
  assert.is(headers['retry-after'], '1')
  assert.is(headers.connection, 'close')
  const { requestId, ...problem } = JSON.parse(text)
  assert.equal(problem, {
    type: 'urn:millrace:problem:dependency_unavailable',
    title: 'A required service does not respond.',
    status: 503,
    detail: 'No API instance can be reached.',
    message: 'No API instance can be reached.',
    code: 'dependency_unavailable',
  })
  assert.match(requestId, /^[0-9a-f-]{36}$/)
  await balancer.close()
})

test('without an instance, a client that reads only after it sent 30 MB gets the 503', async () => {
  const balancer = await startLoadBalancer({ host: '127.0.0.1', port: 0 })
  const { status } = await send(balancer.port, Buffer.alloc(30_000_000))
  assert.is(status, 503)

  const size = 30_000_000
  const raw = await openConnection(balancer.port)
  raw.send(`POST /upload HTTP/1.1\r\nhost: a\r\ncontent-length: ${size}\r\n\r\n`)
  await raw.sendAll(Buffer.alloc(size))
  raw.end()
  assertUnavailable(await raw.closed)
  await balancer.close()
})

test('without an instance, a client that waits for 100 Continue gets only the 503', async () => {
  const balancer = await startLoadBalancer({ host: '127.0.0.1', port: 0 })
  const raw = await openConnection(balancer.port)
  raw.send('POST /upload HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\nexpect: 100-continue\r\n\r\n')
  assertUnavailable(await raw.closed)
  await balancer.close()
})

test('without an instance, the balancer closes the connection of a client that never stops sending', async () => {
  const balancer = await startLoadBalancer({ host: '127.0.0.1', port: 0 })
  const client = connect({ host: '127.0.0.1', port: balancer.port, allowHalfOpen: true })
  const closed = new Promise((resolve) => client.once('close', resolve))
  client.resume().on('error', () => {})
  client.write('POST /upload HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n')
  const chunk = Buffer.from(`10000\r\n${'x'.repeat(0x10000)}\r\n`)
  // Some MB a second, so that the test does not take a whole core until the balancer's time is over.
  const sending = setInterval(() => client.write(chunk), 20)
  await once(client, 'end')
  await closed
  clearInterval(sending)
  await balancer.close()
})

test('a client that has sent nothing yet is served by an instance that was added after it connected', async () => {
  const balancer = await startLoadBalancer({ host: '127.0.0.1', port: 0 })
  const raw = await openConnection(balancer.port)
  // A later connection was refused, so the earlier one was accepted.
  assert.is((await send(balancer.port)).status, 503)
  balancer.add(await startInstance('late'))
  raw.send('GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n')
  assert.match(await raw.closed, 'late 0')
  await balancer.close()
})

test('requests of one connection go to one instance', async () => {
  const balancer = await startLoadBalancer({ host: '127.0.0.1', port: 0 })
  for (const name of ['a', 'b']) balancer.add(await startInstance(name))
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  const texts: string[] = []
  for (const body of ['', 'xyz', '']) texts.push((await send(balancer.port, body, agent)).text)
  assert.equal(texts, ['a 0', 'a 3', 'a 0'])
  agent.destroy()
  await balancer.close()
})

test('a connection to an instance begins with the addresses of the client and of the balancer', async () => {
  const instance = await startSilentInstance()
  const balancer = await startLoadBalancer({ host: '127.0.0.1', port: 0 })
  balancer.add(instance.port)
  const client = connect({ host: '127.0.0.1', port: balancer.port, localAddress: '127.0.0.2' })
  client.on('error', () => {}).write('GET / HTTP/1.1\r\nx-forwarded-for: 192.0.2.1\r\n\r\n')
  const [first] = await once(await instance.connection, 'data')
  const { localPort } = client
  assert.match(
    String(first),
    new RegExp(`^PROXY TCP4 127\\.0\\.0\\.2 127\\.0\\.0\\.1 ${localPort} ${balancer.port}\r\n`),
  )
  client.destroy()
  instance.close()
  await balancer.close()
})

test('the balancer does not change the exchange of 100 Continue', async () => {
  const balancer = await startLoadBalancer({ host: '127.0.0.1', port: 0 })
  balancer.add(await startInstance('a'))
  const raw = await openConnection(balancer.port)
  raw.send(
    'POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\nexpect: 100-continue\r\nconnection: close\r\n\r\n',
  )
  assert.is(await raw.until('\r\n\r\n'), 'HTTP/1.1 100 Continue\r\n\r\n')
  raw.send('xyz')
  assert.match(await raw.closed, 'a 3')
  await balancer.close()
})

test('the balancer forwards a large body completely', async () => {
  const balancer = await startLoadBalancer({ host: '127.0.0.1', port: 0 })
  balancer.add(await startInstance('a'))
  const { text } = await send(balancer.port, Buffer.alloc(20_000_000))
  assert.is(text, 'a 20000000')
  await balancer.close()
})

for (const [name, abandon] of [
  ['resets', (socket: Socket) => socket.resetAndDestroy()],
  ['closes', (socket: Socket) => socket.end()],
] as const) {
  test(`a client gets 503 if its instance ${name} the connection before it responds`, async () => {
    const instance = await startSilentInstance()
    const balancer = await startLoadBalancer({ host: '127.0.0.1', port: 0 })
    balancer.add(instance.port)
    const raw = await openConnection(balancer.port)
    raw.send('POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n\r\n')
    abandon(await instance.connection)
    assertUnavailable(await raw.closed)
    instance.close()
    await balancer.close()
  })

  test(`a client gets no 503 inside of a response if its instance ${name} the connection`, async () => {
    const instance = await startSilentInstance()
    const balancer = await startLoadBalancer({ host: '127.0.0.1', port: 0 })
    balancer.add(instance.port)
    const raw = await openConnection(balancer.port)
    raw.send('GET / HTTP/1.1\r\nhost: a\r\n\r\n')
    const begun = 'HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nxyz'
    const socket = await instance.connection
    socket.write(begun)
    await raw.until('xyz')
    abandon(socket)
    assert.is(await raw.closed, begun)
    instance.close()
    await balancer.close()
  })
}

test('closing the balancer closes every connection immediately', async () => {
  const instance = await startSilentInstance()
  const balancer = await startLoadBalancer({ host: '127.0.0.1', port: 0 })
  balancer.add(instance.port)
  const silent = await openConnection(balancer.port)
  const active = await openConnection(balancer.port)
  active.send('GET / HTTP/1.1\r\n')
  const instanceEnded = once(await instance.connection, 'close')
  await balancer.close()
  assert.is(await silent.closed, '')
  await active.closed
  await instanceEnded
  instance.close()
})

test('a port in use is an error that names the option --port', async () => {
  const balancer = await startLoadBalancer({ host: '127.0.0.1', port: 0 })
  const error = await startLoadBalancer({ host: '127.0.0.1', port: balancer.port }).catch((reason) => reason)
  assert.is(error.name, 'StartError')
  assert.match(error.message, new RegExp(`^Port ${balancer.port} is in use: .*--port`))
  await balancer.close()
})

test('an address of another machine is an error', async () => {
  const error = await startLoadBalancer({ host: '192.0.2.1', port: 0 }).catch((reason) => reason)
  assert.is(error.name, 'StartError')
  assert.match(error.message, '192.0.2.1 is not an address of this machine')
})

test.run()
