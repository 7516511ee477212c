import { once } from 'node:events'
import { createServer as createHttpServer, request, type Server } from 'node:http'
import { connect, createServer, type Socket } from 'node:net'
import { startLoadBalancer } from '@millrace/local/fleet/load-balancer.ts'
import * as assert from 'uvu/assert'
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

/** Sends one request on a new connection. */
async function send(port: number, body = '') {
  const outgoing = request({ host: '127.0.0.1', port, method: 'POST', agent: false })
  outgoing.end(body)
  const [response] = await once(outgoing, 'response')
  let text = ''
  for await (const chunk of response) text += chunk
  return { status: response.statusCode, text }
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

test('the balancer responds 503 if there is no instance', async () => {
  const balancer = await startLoadBalancer({ host: '127.0.0.1', port: 0 })
  const { status, text } = await send(balancer.port)
  assert.is(status, 503)
  assert.match(text, 'No API instance is running')
  await balancer.close()
})

test('the balancer forwards a large body completely', async () => {
  const balancer = await startLoadBalancer({ host: '127.0.0.1', port: 0 })
  balancer.add(await startInstance('a'))
  const { text } = await send(balancer.port, 'x'.repeat(20_000_000))
  assert.is(text, 'a 20000000')
  await balancer.close()
})

test('the balancer closes the connection of a client whose instance resets it', async () => {
  const instance = createServer().listen(0, '127.0.0.1')
  await once(instance, 'listening')
  const balancer = await startLoadBalancer({ host: '127.0.0.1', port: 0 })
  balancer.add(portOf(instance))
  const arrived = once(instance, 'connection')
  const client = connect(balancer.port, '127.0.0.1').resume()
  const ended = once(client, 'close')
  const [socket]: Socket[] = await arrived
  socket?.resetAndDestroy()
  await ended
  instance.close()
  await balancer.close()
})

test('closing the balancer closes every connection immediately', async () => {
  const instance = createServer().listen(0, '127.0.0.1')
  await once(instance, 'listening')
  const balancer = await startLoadBalancer({ host: '127.0.0.1', port: 0 })
  balancer.add(portOf(instance))
  const arrived = once(instance, 'connection')
  const client = connect(balancer.port, '127.0.0.1')
  const clientEnded = once(client.resume(), 'close')
  const [socket]: Socket[] = await arrived
  const instanceEnded = once(socket?.resume().on('error', () => {}) ?? client, 'close')
  await balancer.close()
  await Promise.all([clientEnded, instanceEnded])
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
