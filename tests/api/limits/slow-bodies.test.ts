import { mock } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { timeOutSlowBodies } from '@millrace/api/limits/slow-bodies.ts'
import { type FastifyRequest, fastify } from 'fastify'
import * as assert from 'uvu/assert'
import { openConnection } from '../../support/raw-connection.ts'
import { suite } from '../../support/suite.ts'

const test = suite('slow bodies')
const graceMs = 20_000
const startMs = 1_000_000
const head = (path: string, length: number) =>
  `POST ${path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: ${length}\r\n\r\n`

/** Starts an app whose time a test sets. `check` lets time pass until the next check of the bodies. */
async function start() {
  mock.timers.enable({ apis: ['setInterval'] })
  const clock = mock.method(performance, 'now', () => startMs)
  const lines: string[] = []
  const app = fastify({ logger: { stream: { write: (line) => void lines.push(line) }, level: 'info' } })
  const requests: FastifyRequest[] = []
  timeOutSlowBodies(app, { graceMs })
  app.addHook('onRequest', async (request) => void requests.push(request))
  app.post('/', async () => 'read')
  app.post(
    '/early',
    { onRequest: async (_request, reply) => reply.code(401).send('early') },
    async () => 'read',
  )
  const held = Promise.withResolvers<void>()
  app.post('/held', { onRequest: () => held.promise }, async () => 'read')
  const url = await app.listen({ port: 0, host: '127.0.0.1' })
  const connection = await openConnection(Number(new URL(url).port))
  const check = (afterMs: number) => {
    clock.mock.mockImplementation(() => startMs + afterMs)
    mock.timers.tick(graceMs / 4)
  }
  const timeouts = () => lines.filter((line) => line.includes('request body timed out')).length
  const close = async () => {
    connection.destroy()
    await app.close()
  }
  return { connection, requests, check, timeouts, release: held.resolve, close }
}

test.after.each(() => {
  mock.timers.reset()
  mock.restoreAll()
})

test('the grace period of a body grows with its own bytes only, and not with those of earlier requests of its connection', async () => {
  const { connection, requests, check, close } = await start()
  connection.send(`${head('/', 50_000)}${JSON.stringify('x'.repeat(49_998))}`)
  await connection.until('\r\n\r\nread')
  connection.send(`${head('/', 60_000)}"`)
  connection.send('x'.repeat(1000))
  while (requests.length < 2 || (requests[1]?.raw.socket.bytesRead ?? 0) < 51_000) await nextTurn()
  // 1,000 bytes prolong it by 2 s, and the bytes of the head by less than one.
  check(graceMs + 2_000)
  assert.ok(connection.isOpen())
  assert.not(requests[1]?.raw.socket.writableEnded)
  check(graceMs + 3_000)
  assert.ok(requests[1]?.raw.socket.writableEnded, 'the connection is being closed')
  assert.match(await connection.closed, /HTTP\/1\.1 408 [\s\S]*"code":"request_timeout"/)
  await close()
})

test('a connection goes on after an early response if the rest of the body has arrived', async () => {
  const { connection, requests, check, timeouts, close } = await start()
  connection.send(head('/early', 3))
  await connection.until('early')
  connection.send('"a"')
  while (!requests[0]?.raw.complete) await nextTurn()
  check(10 * graceMs)
  connection.send(`${head('/', 3)}"b"`)
  assert.match(await connection.until('\r\n\r\nread'), /HTTP\/1\.1 401 [\s\S]*HTTP\/1\.1 200 /)
  assert.is(timeouts(), 0)
  await close()
})

test('a body that has arrived is not timed out, however long the request waits before it is read', async () => {
  const { connection, requests, check, timeouts, release, close } = await start()
  connection.send(`${head('/held', 3)}"a"`)
  while (!requests[0]?.raw.complete) await nextTurn()
  check(10 * graceMs)
  release()
  assert.match(await connection.until('\r\n\r\nread'), /^HTTP\/1\.1 200 /)
  assert.is(timeouts(), 0)
  await close()
})

test('a client that disconnected is not reported as a slow one', async () => {
  const { connection, requests, check, timeouts, close } = await start()
  connection.send(`${head('/', 3)}"`)
  while (requests.length === 0) await nextTurn()
  connection.destroy()
  while (!requests[0]?.raw.destroyed) await nextTurn()
  check(10 * graceMs)
  assert.is(timeouts(), 0)
  await close()
})

test.run()
