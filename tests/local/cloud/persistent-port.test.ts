import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { listenOnPersistentPort } from '@millrace/local/cloud/persistent-port.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('persistent port')

async function listen(port: number): Promise<{ endpoint: string; server: Server }> {
  const server = createServer()
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string')
    throw new Error('The server does not listen on a TCP port.')
  return { endpoint: `http://127.0.0.1:${address.port}`, server }
}

test('a restarted server uses its last port again, or another one while that port is in use', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'millrace-port-'))
  const first = await listenOnPersistentPort(directory, 'x', listen)
  const meanwhile = await listenOnPersistentPort(directory, 'x', listen)
  assert.is.not(meanwhile.endpoint, first.endpoint)
  meanwhile.server.close()
  await once(meanwhile.server, 'close')
  const again = await listenOnPersistentPort(directory, 'x', listen)
  assert.is(again.endpoint, meanwhile.endpoint)
  first.server.close()
  again.server.close()
  await rm(directory, { recursive: true })
})

test('an error other than EADDRINUSE is passed on', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'millrace-port-'))
  let caught: unknown
  await listenOnPersistentPort(directory, 'x', () => Promise.reject(new Error('no'))).catch((error) => {
    caught = error
  })
  assert.equal(caught, new Error('no'))
  await rm(directory, { recursive: true })
})

test.run()
