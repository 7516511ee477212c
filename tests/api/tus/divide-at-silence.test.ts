import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { divideAtSilence } from '@millrace/api/tus/divide-at-silence.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('divide at silence')
const silenceMs = 20

/** Returns both ends of a connection. */
async function connectPair(): Promise<{ client: Socket; server: Socket; close(): void }> {
  const listener = createServer().listen(0, '127.0.0.1')
  await once(listener, 'listening')
  const address = listener.address()
  if (address === null || typeof address === 'string') throw new Error('The server has no port.')
  const client = connect(address.port, '127.0.0.1')
  const [server]: Socket[] = await once(listener, 'connection')
  if (!server) throw new Error('There is no connection.')
  listener.close()
  return {
    client,
    server,
    close() {
      client.destroy()
      server.destroy()
    },
  }
}

test('time in which the process itself stands still is no silence of the client', async () => {
  const { client, server, close } = await connectPair()
  const body = divideAtSilence(server)
  const piece = body.piece(silenceMs)
  client.write('a')
  assert.equal((await piece.next()).value, Buffer.from('a'))
  const next = piece.next()
  client.write('b')
  // Its bytes have come, but the process is too busy to read them until the time has passed.
  for (const endMs = performance.now() + 3 * silenceMs; performance.now() < endMs; );
  assert.equal(await next, { done: false, value: Buffer.from('b') })
  assert.equal(await piece.next(), { done: true, value: undefined })
  assert.not(body.isEnded())
  body.close()
  close()
})

test.run()
