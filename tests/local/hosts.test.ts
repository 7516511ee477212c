import { once } from 'node:events'
import { request } from 'node:http'
import { hostname, networkInterfaces } from 'node:os'
import * as assert from 'uvu/assert'
import { startSystem } from '../support/start-millrace.ts'
import { suite } from '../support/suite.ts'

const test = suite('hosts of npm start', {}, { limitMs: 60_000 })
const requestsPerMinute = 20
let system: Awaited<ReturnType<typeof startSystem>>
let port: number

test.before(async () => {
  system = await startSystem(['--host', '0.0.0.0'], {
    RATE_LIMIT_PER_ADDRESS_PER_MINUTE: String(requestsPerMinute),
    ALLOWED_HOSTS: 'files.internal',
    OPEN_ADMIN: 'true',
  })
  port = Number(new URL(system.url).port)
})
test.after(() => system.close())

/** @returns the status of the response. @param from the address that the client connects from */
async function get(
  path: string,
  { to = '127.0.0.1', from = '127.0.0.1', ...headers }: Record<string, string>,
): Promise<number | undefined> {
  const outgoing = request({ host: to, localAddress: from, port, path, headers, agent: false }).end()
  const [response] = await once(outgoing, 'response')
  for await (const _chunk of response);
  return response.statusCode
}

test('npm start serves its own names and refuses others, with --host too', async () => {
  const own = [
    'localhost',
    '127.0.0.1:3000',
    hostname(),
    `${hostname().split('.')[0]}.local`,
    'files.internal',
  ]
  for (const host of own) assert.is(await get('/health', { host }), 200, host)
  for (const host of own) assert.is(await get('/admin/cluster', { host }), 200, host)
  for (const path of ['/', '/uploads', '/admin/cluster', '/admin/queues', '/docs']) {
    assert.is(
      await get(path, { host: 'rebind.evil.test:3150', origin: 'http://rebind.evil.test:3150' }),
      421,
      path,
    )
  }
  assert.is(await get('/session', { host: '198.51.100.7' }), 421)
})

test('with --host, npm start is reached under each address of the machine', async () => {
  const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? [])
  for (const { address, family } of addresses) {
    if (family !== 'IPv4') continue
    assert.is(await get('/session', { to: address, from: address, host: `${address}:${port}` }), 200, address)
  }
})

test('requests count to the address of the client, not to that of the balancer or of a header', async () => {
  const statuses = new Set<number | undefined>()
  for (let sent = 0; sent < 2 * requestsPerMinute; sent += 1) {
    const spoofed = { 'x-forwarded-for': `192.0.2.${sent}`, forwarded: `for=192.0.2.${sent}` }
    statuses.add(await get('/session', { from: '127.0.0.2', host: 'localhost', ...spoofed }))
  }
  assert.equal([...statuses], [200, 429])
  assert.is(await get('/session', { from: '127.0.0.3', host: 'localhost' }), 200)
})

test.run()
