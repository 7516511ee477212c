import { readFileSync } from 'node:fs'
import { newApiKey } from '@millrace/api/credentials/api-keys.ts'
import { Problem } from '@millrace/api/requests/problem.ts'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { startApiProcess } from '../../support/api-process.ts'
import { type EventStream, openEventStream } from '../../support/event-stream.ts'
import { bodyOf, createHttpClient, type HttpResponse } from '../../support/http-client.ts'
import { listProcesses } from '../../support/process-list.ts'
import { openConnection, type RawConnection } from '../../support/raw-connection.ts'
import { announce } from '../../support/send-upload.ts'
import { suite } from '../../support/suite.ts'

const test = suite('limits of event streams', {}, { limitMs: 120_000 })
const { key, entry } = newApiKey('acme', ['uploads:read'])
let api: ApiInstances

test.before(async () => {
  api = await startApiInstances({ environment: { MAX_EVENT_STREAMS_PER_OWNER: '2' } })
})
test.after(() => api.close())

/** How much the memory of an instance may grow with 2,000 open streams, in bytes. Measured: some 220 MiB, mostly garbage. */
const maxGrowthBytes = 450 * 1024 * 1024

/** Asserts that no stream is opened, and that the response says why and when to try again. */
function assertRefused(response: HttpResponse, expected: { status: number; code: string; limit: number }) {
  const { status, code, limit, remaining } = bodyOf(response, Problem)
  assert.equal({ status, code, limit, remaining }, { ...expected, remaining: 0 })
  assert.is(response.status, expected.status)
  assert.ok(Number(response.headers.get('retry-after')) > 0)
}

test('the 2,001st event stream of an instance is refused until another one ends', async () => {
  const environment = { MAX_EVENT_STREAMS_PER_OWNER: '0', MAX_EVENT_STREAMS_PER_ADDRESS: '0' }
  const instance = await startApiProcess({ ...api.environment, ...environment, LOG_LEVEL: 'info' })
  const client = createHttpClient(instance.url)
  await client.get('/session')
  const memoryBefore = residentBytes(api.prefix)

  const connections: RawConnection[] = []
  const open = async () => {
    const connection = await openConnection(instance.port)
    connections.push(connection)
    connection.send(`GET /events HTTP/1.1\r\nhost: localhost\r\ncookie: ${client.cookie}\r\n\r\n`)
    await connection.until('event: snapshot')
    assert.ok(connection.isOpen())
  }
  for (let opened = 0; opened < 2_000; opened += 100) await Promise.all(Array.from({ length: 100 }, open))
  const url = new URL('/events', instance.url)
  assertRefused(await client.get('/events'), { status: 503, code: 'overloaded', limit: 2_000 })
  const growth = residentBytes(api.prefix) - memoryBefore
  assert.ok(growth < maxGrowthBytes, `${growth} bytes`)
  // Other requests are served.
  assert.is((await client.get('/uploads')).status, 200)

  connections.pop()?.destroy()
  for (;;) {
    const stream = await openEventStream(url, client)
    stream.close()
    if (stream.response.status === 200) break
  }
  for (const connection of connections) connection.destroy()
  await instance.stop()
})

/** Returns the resident memory of the only process with this prefix of Redis' keys. */
function residentBytes(prefix: string): number {
  const found = listProcesses().find(({ environment }) => environment.includes(`REDIS_PREFIX=${prefix}`))
  const [, kilobytes] = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${found?.pid}/status`, 'utf8')) ?? []
  return Number(kilobytes) * 1024
}

test('an owner has a number of event streams over both routes, and HEAD takes none', async () => {
  const client = createHttpClient(api.url)
  const { id } = await announce(client, 7)
  const [all, one] = [new URL('/events', api.url), new URL(`/uploads/${id}/events`, api.url)]
  for (const url of [all, one, all]) {
    const response = await fetch(url, { method: 'HEAD', headers: { cookie: client.cookie ?? '' } })
    assert.is(response.status, 200)
  }
  const streams = [await openEventStream(all, client), await openEventStream(one, client)]
  for (const { pathname } of [all, one]) {
    assertRefused(await client.get(pathname), { status: 429, code: 'too_many_streams', limit: 2 })
  }
  const other = createHttpClient(api.url)
  await other.get('/session')
  streams.push(await openEventStream(all, other))
  for (const stream of streams) assert.ok(await stream.next())
  for (const stream of streams) stream.close()
})

test('an address has a number of event streams, and all addresses of an IPv6 /64 count together', async () => {
  const { url } = await api.startInstance({
    MAX_EVENT_STREAMS_PER_OWNER: '0',
    MAX_EVENT_STREAMS_PER_ADDRESS: '2',
    TRUSTED_PROXIES: '127.0.0.1',
    API_KEYS: entry,
  })
  const opened: EventStream[] = []
  const open = async (address: string, apiKey?: string) => {
    const client = createHttpClient(url)
    await client.get('/session')
    const stream = await openEventStream(new URL('/events', url), client, undefined, apiKey, address)
    opened.push(stream)
    return stream.response.status
  }
  assert.is(await open('2001:db8:0:1::1'), 200)
  assert.is(await open('2001:db8:0:1:ffff::2'), 200)
  const client = createHttpClient(url)
  await client.get('/session')
  const headers = { 'x-forwarded-for': '2001:db8:0:1:aaaa::3' }
  const refused = await client.get('/events', { headers })
  assertRefused(refused, { status: 429, code: 'too_many_streams', limit: 2 })
  assert.is(await open('2001:db8:0:2::1'), 200)
  // The client of an API key may be a server that follows uploads for many people.
  assert.is(await open('2001:db8:0:1::1', key), 200)
  for (const stream of opened) stream.close()
})

test.run()
