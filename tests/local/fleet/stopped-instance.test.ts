import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { Agent, request } from 'node:http'
import { connect } from 'node:net'
import { join } from 'node:path'
import { type LoadBalancer, startLoadBalancer } from '@millrace/local/fleet/load-balancer.ts'
import * as assert from 'uvu/assert'
import { openConnection } from '../../support/raw-connection.ts'
import { suite } from '../../support/suite.ts'

const fixtures = join(import.meta.dirname, '../../fixtures/services')

const test = suite('stopped instance')
/** The two instances of most tests. Each test has a balancer of its own, and lets them continue. */
let a: Instance
let b: Instance
let balancer: LoadBalancer
let printed: string[]
let wake: () => void

test.before(async () => {
  ;[a, b] = await Promise.all([startInstance('a'), startInstance('b')])
})
test.after(() => Promise.all([a.end(), b.end()]))

test.before.each(async () => {
  printed = []
  wake = () => {}
  const print = (line: string) => {
    printed.push(line)
    wake()
  }
  balancer = await startLoadBalancer({ host: '127.0.0.1', port: 0, print })
})

test.after.each(async () => {
  await balancer.close()
  a.kill('SIGCONT')
})

/** Waits until the balancer has printed a line `times` times. */
async function untilPrinted(line: string, times = 1) {
  while (printed.filter((other) => other === line).length < times) {
    await new Promise<void>((resolve) => {
      wake = resolve
    })
  }
}

type Instance = Awaited<ReturnType<typeof startInstance>>

/** Starts a process that responds with its name. */
async function startInstance(name: string, mode = 'works') {
  const child = spawn(process.execPath, [join(fixtures, 'stub-service.ts')], {
    env: { ...process.env, SERVICE_MODE: mode, INSTANCE: name, PROXY_PROTOCOL: 'true' },
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
  })
  child.stdout?.resume()
  const [message]: { port?: number }[] = await once(child, 'message')
  const port = message?.port
  assert.ok(port)
  return {
    child,
    port,
    kill: (signal: NodeJS.Signals) => child.kill(signal),
    async end() {
      child.kill('SIGKILL')
      await once(child, 'close')
    },
  }
}

/** Sends one request, on a new connection unless an agent is given. Returns after the whole body was sent. */
async function send(body: string | Buffer = '', agent: Agent | false = false) {
  const outgoing = request({ host: '127.0.0.1', port: balancer.port, method: 'POST', agent })
  const closed = once(outgoing, 'close')
  outgoing.end(body)
  const [response] = await once(outgoing, 'response')
  let text = ''
  for await (const chunk of response) text += chunk
  await closed
  return { status: response.statusCode, headers: response.headers, body: JSON.parse(text) }
}

/** Adds both instances to the balancer of the test. */
function addBoth() {
  balancer.add(a.port, 'a')
  balancer.add(b.port, 'b')
}

async function sendSeveral(times: number) {
  const names: string[] = []
  for (let index = 0; index < times; index += 1) names.push((await send()).body.instance)
  return names
}

test('a request to an instance that stops gets 503, also while its 30 MB are sent', async () => {
  addBoth()
  a.kill('SIGSTOP')
  const [first, second] = await Promise.all([send(Buffer.alloc(30_000_000)), send(Buffer.alloc(30_000_000))])
  const [refused, served] = first.status === 503 ? [first, second] : [second, first]
  assert.is(served.body.instance, 'b')
  assert.is(refused.status, 503)
  assert.is(refused.headers['retry-after'], '1')
  assert.is(refused.headers['content-type'], 'application/problem+json')
  assert.is(refused.body.detail, 'The API instance does not respond. It may have received the request.')
})

test('a stopped instance loses its kept connections and gets no new ones until it continues; another one keeps its own', async () => {
  addBoth()
  const connections = [await openConnection(balancer.port), await openConnection(balancer.port)]
  const names: string[] = []
  for (const connection of connections) {
    connection.send('GET / HTTP/1.1\r\nhost: x\r\n\r\n')
    names.push(/"instance":"(.)"/.exec(await connection.until('}'))?.[1] ?? '')
  }
  assert.equal(names.sort(), ['a', 'b'])
  a.kill('SIGSTOP')
  await Promise.race(connections.map(({ closed }) => closed))
  await untilPrinted('a does not respond to health checks.')
  const open = connections.filter((connection) => connection.isOpen())
  assert.is(open.length, 1)
  open[0]?.send('GET /?again HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n')
  assert.match((await open[0]?.closed) ?? '', /"instance":"b".*"instance":"b"/s)
  assert.equal(await sendSeveral(4), ['b', 'b', 'b', 'b'])
  a.kill('SIGCONT')
  await untilPrinted('a responds to health checks again.')
  assert.equal((await sendSeveral(2)).sort(), ['a', 'b'])
})

test('a connection that a stopped instance does not accept is retried on another instance', async () => {
  const stopped = await startInstance('c', 'short-backlog')
  balancer.add(stopped.port, 'c')
  balancer.add(b.port, 'b')
  stopped.kill('SIGSTOP')
  // The second is not awaited: a check of the balancer may have its place in the queue, which is then full without it.
  const queued = [
    await openConnection(stopped.port),
    connect(stopped.port, '127.0.0.1').on('error', () => {}),
  ]
  const served = await Promise.all([send(Buffer.alloc(1_000_000)), send(Buffer.alloc(1_000_000))])
  assert.equal(
    served.map(({ body }) => body.instance),
    ['b', 'b'],
  )
  for (const connection of queued) connection.destroy()
  await stopped.end()
})

test('if every instance is out, connections are still tried on them: they get 503 until one continues', async () => {
  balancer.add(a.port, 'a')
  a.kill('SIGSTOP')
  await untilPrinted('a does not respond to health checks.')
  const responses = await Promise.all([send(), send(), send(Buffer.alloc(30_000_000))])
  assert.equal(
    responses.map(({ status }) => status),
    [503, 503, 503],
  )
  const response = send()
  a.kill('SIGCONT')
  assert.is((await response).body.instance, 'a')
})

test('an instance stays in service if the balancer itself did not run during a check', async () => {
  const instance = await startInstance('c', 'asks-parent')
  balancer.add(instance.port, 'c')
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  assert.is((await send('', agent)).body.instance, 'c')
  await once(instance.child, 'message')
  // The response to the check arrives while this process, and so the balancer, is blocked for longer than its timeout.
  await new Promise<void>((resolve) => instance.child.send('respond', () => resolve()))
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 3_500)
  await once(instance.child, 'message')
  assert.equal(printed, [])
  assert.is((await send('', agent)).body.instance, 'c')
  agent.destroy()
  await instance.end()
})

test.run()
