import { once } from 'node:events'
import { connect } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import {
  createEventStreams,
  heartbeatMs,
  type ServerSentEvent,
  type StreamOpener,
} from '@millrace/api/streams/server-sent-events.ts'
import { connectionTimeouts } from '@millrace/shared/connections/connection-timeouts.ts'
import { fastify } from 'fastify'
import * as assert from 'uvu/assert'
import { createHttpClient } from '../../support/http-client.ts'
import { openConnection, type RawConnection } from '../../support/raw-connection.ts'
import { suite } from '../../support/suite.ts'

const test = suite('server-sent events')
const request = 'GET /events HTTP/1.1\r\nhost: localhost\r\n\r\n'
const stays: StreamOpener = { holder: { owner: 'acme' }, hasEnded: async () => false }

/** Starts a server with streams of endless silence, or of the given events. */
async function serve(
  options: Partial<Parameters<typeof createEventStreams>[0]> & {
    openerOf?: () => StreamOpener
    events?: (signal: AbortSignal) => AsyncIterable<ServerSentEvent>
  } = {},
) {
  const { openerOf = () => stays, events = silence, ...deps } = options
  const closing = new AbortController()
  const limits = { instance: 0, owner: 0, address: 0 }
  const streams = createEventStreams({ limits, closing: closing.signal, ...deps })
  const app = fastify()
  app.get('/events', (_, reply) => streams.send(reply, openerOf(), events))
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  return {
    url,
    port: Number(new URL(url).port),
    streams,
    closing,
    async close() {
      closing.abort()
      await app.close()
    },
  }
}

// biome-ignore lint/correctness/useYield: a stream without events
async function* silence(signal: AbortSignal): AsyncGenerator<ServerSentEvent> {
  await once(signal, 'abort')
}

/** Sends a request and reads nothing of the response. */
async function openWithoutReading(port: number) {
  const socket = connect(port, '127.0.0.1').on('error', () => undefined)
  socket.pause()
  await once(socket, 'connect')
  socket.write(request)
  return socket
}

test('heartbeats are more frequent than the timeout of load balancers, a minute', () => {
  assert.is(heartbeatMs, 20_000)
})

test('an idle stream gets comments', async () => {
  const server = await serve({ heartbeatMs: 40 })
  const connection = await openConnection(server.port)
  connection.send(request)
  await connection.when((received) => received.split(': still here\n\n').length > 3)
  assert.ok(connection.isOpen())
  await server.close()
})

test('comments come each 20 s, three times within the idle timeout of a load balancer', () => {
  assert.is(heartbeatMs, 20_000)
  assert.is(connectionTimeouts(0).balancerIdleMs, 3 * heartbeatMs)
})

test('a stream ends after its last event', async () => {
  const server = await serve({
    async *events() {
      yield { id: '1', event: 'tick', data: { text: 'é' } }
      yield { id: '2', event: 'tick', data: 'x'.repeat(100_000) }
    },
  })
  const { body, headers } = await createHttpClient(server.url).get('/events')
  assert.is(headers.get('content-type'), 'text/event-stream')
  const long = `id: 2\nevent: tick\ndata: "${'x'.repeat(100_000)}"\n\n`
  assert.is(body, `retry: 2000\n\nid: 1\nevent: tick\ndata: {"text":"é"}\n\n${long}`)
  await server.close()
})

test('a stream that fails closes its connection', async () => {
  const server = await serve({
    // biome-ignore lint/correctness/useYield: it fails before its first event
    async *events() {
      throw new Error('Redis does not respond.')
    },
  })
  const connection = await openConnection(server.port)
  connection.send(request)
  const received = await connection.closed
  assert.match(received, /^HTTP\/1\.1 200 /)
  assert.not.match(received, '\r\n0\r\n')
  await server.close()
})

test('a stream ends with the identity that opened it, though no message told its end', async () => {
  let hasEnded = false
  const openerOf = () => ({ ...stays, hasEnded: async () => hasEnded })
  const server = await serve({ heartbeatMs: 40, openerOf })
  const connection = await openConnection(server.port)
  connection.send(request)
  await connection.until(': still here')
  assert.ok(connection.isOpen())
  hasEnded = true
  assert.match(await connection.closed, /\r\n0\r\n\r\n$/)
  await server.close()
})

test('the message that an identity of an owner ended closes the streams of that identity only', async () => {
  const openers = [
    { holder: { owner: 'acme' }, hasEnded: async () => true },
    { holder: { owner: 'acme' }, hasEnded: async () => false },
    { holder: { owner: 'other' }, hasEnded: async () => true },
  ]
  const next = openers.values()
  const server = await serve({ openerOf: () => next.next().value ?? stays })
  const connections: RawConnection[] = []
  for (const _ of openers) {
    const connection = await openConnection(server.port)
    connection.send(request)
    await connection.until('retry: 2000')
    connections.push(connection)
  }
  server.streams.check('acme')
  await connections[0]?.closed
  assert.equal(
    connections.map((connection) => connection.isOpen()),
    [false, true, true],
  )
  await server.close()
})

test('a stream stays open while the end of its identity cannot be checked', async () => {
  let asked = 0
  const hasEnded = async () => {
    asked += 1
    throw new Error('Redis does not respond.')
  }
  const server = await serve({ heartbeatMs: 40, openerOf: () => ({ ...stays, hasEnded }) })
  const connection = await openConnection(server.port)
  connection.send(request)
  await connection.when((received) => received.split(': still here\n\n').length > 3)
  assert.ok(asked > 1)
  assert.ok(connection.isOpen())
  await server.close()
})

test('a stream ends when its identity expires', async () => {
  const server = await serve({ heartbeatMs: 40, openerOf: () => ({ ...stays, endsAtMs: Date.now() }) })
  assert.is((await createHttpClient(server.url).get('/events')).body, 'retry: 2000\n\n')
  await server.close()
})

test('a stream ends at its maximum age', async () => {
  const server = await serve({ heartbeatMs: 40, maxAgeMs: 100 })
  assert.match(String((await createHttpClient(server.url).get('/events')).body), 'retry: 2000\n\n')
  await server.close()
})

test('a stream whose client does not read is closed, after a bounded number of bytes', async () => {
  const frameBytes = 256 * 1024
  let sent = 0
  const closed = Promise.withResolvers<void>()
  const server = await serve({
    stalledMs: 200,
    async *events(signal) {
      signal.addEventListener('abort', () => closed.resolve())
      for (let id = 0; ; id++) {
        yield { id: String(id), event: 'frame', data: 'x'.repeat(frameBytes) }
        sent += frameBytes
      }
    },
  })
  const socket = await openWithoutReading(server.port)
  await closed.promise
  // The buffers of the system, on both sides.
  assert.ok(sent < 64 * 1024 * 1024, `${sent} bytes`)
  socket.destroy()
  await server.close()
})

test('a slow client that reads now and then keeps its stream', async () => {
  const frame = 'x'.repeat(256 * 1024)
  const server = await serve({
    stalledMs: 1_000,
    async *events() {
      for (let id = 0; id < 80; id++) yield { id: String(id), event: 'frame', data: frame }
    },
  })
  const socket = await openWithoutReading(server.port)
  let received = 0
  for await (const bytes of socket) {
    received += bytes.length
    // Each pause is far shorter than the limit, all together they are longer.
    if (received % 7 === 0) await delay(20)
  }
  assert.ok(received > 80 * frame.length, `${received} bytes`)
  await server.close()
})

test('the unsent events of an owner are bounded over all of its streams', async () => {
  const frame = 'x'.repeat(1024 * 1024)
  let open = 0
  const isBounded = Promise.withResolvers<void>()
  const server = await serve({
    async *events(signal) {
      open += 1
      signal.addEventListener('abort', () => {
        open -= 1
        if (open === 3) isBounded.resolve()
      })
      for (let id = 0; ; id++) yield { id: String(id), event: 'frame', data: frame }
    },
  })
  const sockets = await Promise.all(Array.from({ length: 12 }, () => openWithoutReading(server.port)))
  // 4 MiB have room for three events of 1 MiB and some bytes.
  await isBounded.promise
  for (const socket of sockets) socket.destroy()
  await server.close()
})

for (const [what, end] of [
  ['its client disconnects', (connection) => connection.destroy()],
  ['the client closes its sending side', (connection) => connection.end()],
] satisfies [string, (connection: RawConnection) => unknown][]) {
  test(`the share of a stream is released when ${what}`, async () => {
    const ended = Promise.withResolvers<void>()
    const server = await serve({
      limits: { instance: 1, owner: 0, address: 0 },
      async *events(signal) {
        signal.addEventListener('abort', () => ended.resolve())
        yield* silence(signal)
      },
    })
    const first = await openConnection(server.port)
    first.send(request)
    await first.until('retry: 2000')
    const refused = await openConnection(server.port)
    refused.send(request)
    assert.match(await refused.until('no room'), 'This instance has no room for more event streams.')
    refused.destroy()
    end(first)
    await ended.promise
    const second = await openConnection(server.port)
    second.send(request)
    await second.until('retry: 2000')
    await server.close()
  })
}

test('no stream begins once the instance closes', async () => {
  const server = await serve({
    async *events() {
      yield { event: 'tick', data: 1 }
    },
  })
  server.closing.abort()
  const { status, body } = await createHttpClient(server.url).get('/events')
  // Without the API's error handler, every error is 500.
  assert.is(status, 500)
  assert.match(JSON.stringify(body), 'This instance is shutting down.')
  await server.close()
})

test('streams end when the instance closes, also those whose client does not read', async () => {
  const frame = 'x'.repeat(1024 * 1024)
  let sent = 0
  const server = await serve({
    async *events() {
      for (let id = 0; ; id++) {
        yield { id: String(id), event: 'frame', data: frame }
        sent += 1
      }
    },
  })
  const socket = await openWithoutReading(server.port)
  for (let before = -1; before !== sent || sent === 0; ) {
    before = sent
    await delay(50)
  }
  await server.close()
  socket.destroy()
})

test.run()
