import { setImmediate as immediate } from 'node:timers/promises'
import { newApiKey } from '@millrace/api/credentials/api-keys.ts'
import { Problem } from '@millrace/api/requests/problem.ts'
import { Compile } from 'typebox/compile'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { createHttpClient } from '../../support/http-client.ts'
import { openConnection, type RawConnection } from '../../support/raw-connection.ts'
import { suite } from '../../support/suite.ts'
import { createTus, openPatch, patchTus } from '../../support/tus-client.ts'
import { until } from '../../support/until.ts'

const test = suite('uploads at once')
const problem = Compile(Problem)
const tenant = newApiKey('tenant', ['uploads:write'])
let api: ApiInstances
let port: number

test.before(async () => {
  api = await startApiInstances({
    environment: {
      MAX_UPLOADS: '5',
      MAX_UPLOADS_PER_OWNER: '3',
      MAX_UPLOADS_PER_ADDRESS: '2',
      TRUSTED_PROXIES: '127.0.0.1',
      API_KEYS: tenant.entry,
    },
  })
  port = Number(new URL(api.url).port)
})
test.after(() => api.close())

/** Begins an upload of 100 bytes, and sends some of them. Resolves once the instance has admitted it. */
async function begin(headers: Record<string, string>): Promise<RawConnection> {
  const admitted = await countAdmitted()
  const connection = await openConnection(port)
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`)
  const first = ['POST /upload?filename=a HTTP/1.1', 'host: localhost', 'content-length: 100', ...lines]
  connection.send(`${[...first, '', ''].join('\r\n')}${'x'.repeat(50)}`)
  while ((await countAdmitted()) === admitted && connection.isOpen()) await immediate()
  return connection
}

const countAdmitted = async () => (await api.redis.keys(`${api.prefix}:*:upload:*`)).length
const from = (address: string) => ({ 'x-forwarded-for': address })
const withKey = { authorization: `Bearer ${tenant.key}` }

async function send(headers: Record<string, string>, body = 'x') {
  const response = await fetch(`${api.url}/upload?filename=a`, { method: 'POST', body, headers })
  const { status } = response
  const text = await response.text()
  return { status, retryAfter: response.headers.get('retry-after'), text }
}

async function refusalOf(headers: Record<string, string>) {
  const { status, retryAfter, text } = await send(headers)
  const { code, limit, remaining } = problem.Parse(JSON.parse(text))
  return { status, code, limit, remaining, hasRetryAfter: Number(retryAfter) > 0 }
}

/** Waits until an upload is accepted again: that a client is gone has no event for the test. */
async function untilAccepted(headers: Record<string, string>) {
  await until(async () => (await send(headers)).status === 201)
}

test('an address, an owner and the instance receive a limited number of files at once', async () => {
  const address = [await begin(from('192.0.2.1')), await begin(from('192.0.2.1'))]
  const limits = { remaining: 0, hasRetryAfter: true }
  assert.equal(await refusalOf(from('192.0.2.1')), {
    ...{ status: 429, code: 'too_many_uploads', limit: 2 },
    ...limits,
  })
  const owner = [await begin(withKey), await begin(withKey), await begin(withKey)]
  assert.equal(await refusalOf({ ...withKey, ...from('192.0.2.2') }), {
    ...{ status: 429, code: 'too_many_uploads', limit: 3 },
    ...limits,
  })
  assert.equal(await refusalOf(from('192.0.2.3')), {
    ...{ status: 503, code: 'overloaded', limit: 5 },
    ...limits,
  })
  for (const connection of [...address, ...owner]) connection.destroy()
  for (const headers of [from('192.0.2.1'), withKey, from('192.0.2.3')]) await untilAccepted(headers)
})

test('an upload that succeeds, fails, is refused, or whose client is gone no longer counts', async () => {
  const headers = from('192.0.2.9')
  const bad = [
    { ...headers, 'content-encoding': 'gzip' },
    { ...headers, 'content-type': 'multipart/form-data' },
  ]
  for (let round = 0; round < 3; round++) {
    for (const refused of bad) assert.ok((await send(refused)).status >= 400)
    assert.is((await send(headers)).status, 201)
    const finishing = await begin(headers)
    finishing.send('x'.repeat(50))
    await finishing.until('"received"')
    const gone = await begin(headers)
    gone.destroy()
    finishing.destroy()
  }
  await untilAccepted(headers)
  const both = [await begin(headers), await begin(headers)]
  assert.is((await send(headers)).status, 429)
  for (const connection of both) connection.destroy()
  await untilAccepted(headers)
})

test('a refused client gets the response although it still sends its file', async () => {
  const held = [await begin(from('192.0.2.5')), await begin(from('192.0.2.5'))]
  const connection = await openConnection(port)
  const head = ['POST /upload?filename=a HTTP/1.1', 'host: localhost', 'content-length: 50000000']
  connection.send([...head, 'x-forwarded-for: 192.0.2.5', '', ''].join('\r\n'))
  await connection.sendAll(Buffer.alloc(10_000_000))
  assert.match(await connection.until('"requestId"'), /^HTTP\/1.1 429 /)
  connection.destroy()
  for (const other of held) other.destroy()
  await untilAccepted(from('192.0.2.5'))
})

test('tus requests with bytes count, and others do not', async () => {
  const client = createHttpClient(api.url)
  const path = await createTus(client, 100)
  const other = await createTus(client, 100)
  const third = await createTus(client, 100)
  const patches = [path, other].map((path) => openPatch(client, api.url + path, { offset: 0, length: 100 }))
  for (const patch of patches) await patch.send(Buffer.alloc(10))
  for (const path of [third, other]) {
    await until(async () => (await api.redis.keys(`${api.prefix}:*:tus:*:lock`)).length >= 2)
    const refused = await patchTus(client, api.url + path, { offset: 0, bytes: new Uint8Array(100) })
    assert.equal([refused.status, refused.code], [429, 'too_many_uploads'])
  }
  const created = await client.request('POST', '/tus/', {
    headers: {
      'tus-resumable': '1.0.0',
      'upload-length': '5',
      'content-type': 'application/offset+octet-stream',
    },
    body: 'hello',
  })
  assert.is(created.status, 429)
  await createTus(client, 5)
  for (const [index, patch] of patches.entries()) {
    if (index === 0) patch.close()
    else {
      patch.end(Buffer.alloc(90))
      assert.is(await patch.status, 204)
    }
  }
  const sent = await patchTus(client, api.url + third, { offset: 0, bytes: new Uint8Array(100) })
  assert.is(sent.status, 204)
})

test('an upload below MIN_UPLOAD_BYTES_PER_SECOND is ended with 408 and counts no longer', async () => {
  const strict = await startApiInstances({
    environment: {
      UPLOAD_IDLE_TIMEOUT_MS: '400',
      MIN_UPLOAD_BYTES_PER_SECOND: '1000000',
      MAX_UPLOADS_PER_ADDRESS: '1',
    },
  })
  try {
    const connection = await openConnection(Number(new URL(strict.url).port))
    connection.send('POST /upload?filename=a HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100000\r\n\r\n')
    // Never idle for long.
    const trickle = setInterval(() => connection.send('x'), 20)
    assert.match(await connection.closed, /^HTTP\/1.1 408 .*"request_timeout"/s)
    clearInterval(trickle)

    const client = createHttpClient(strict.url)
    const path = await createTus(client, 100_000)
    const patch = openPatch(client, strict.url + path, { offset: 0, length: 100_000 })
    const more = setInterval(() => void patch.send(Buffer.alloc(10)), 20)
    assert.is(await patch.status, 408)
    clearInterval(more)
    patch.close()
    const head = await client.request('HEAD', path, { headers: { 'tus-resumable': '1.0.0' } })
    assert.ok(Number(head.headers.get('upload-offset')) > 0, 'the bytes that came are kept')
  } finally {
    await strict.close()
  }
})

test.run()
