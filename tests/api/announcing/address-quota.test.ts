import { newApiKey } from '@millrace/api/credentials/api-keys.ts'
import { Problem } from '@millrace/api/requests/problem.ts'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { bodyOf, createHttpClient, type HttpResponse } from '../../support/http-client.ts'
import { suite } from '../../support/suite.ts'
import { waysToSend } from '../../support/ways-to-send.ts'

const test = suite('quota of an address in the API')
const MiB = 1024 ** 2
const { key: apiKey, entry } = newApiKey('shop', ['uploads:read', 'uploads:write'])
const apis: ApiInstances[] = []

test.after.each(async () => {
  for (const api of apis.splice(0)) await api.close()
})

async function start(environment: Record<string, string>): Promise<ApiInstances> {
  const api = await startApiInstances({
    environment: { API_KEYS: entry, TRUSTED_PROXIES: '127.0.0.1,::1', ...environment },
  })
  apis.push(api)
  return api
}

/** Announces a file as a client without a cookie, so that each call has an owner of its own. */
const announceAlone = (api: ApiInstances, size: number, headers: Record<string, string> = {}) =>
  createHttpClient(api.url).post(
    '/uploads',
    { filename: 'a.bin', contentType: 'image/png', size },
    { headers: { 'x-forwarded-for': '198.51.100.1', ...headers } },
  )

function problemOf(response: HttpResponse) {
  const { code, limit, remaining } = bodyOf(response, Problem)
  return [response.status, code, limit, remaining]
}

test("owners that an address makes up do not get more than the address' quota together", async () => {
  const api = await start({ QUOTA_BYTES_PER_DAY: '1000', QUOTA_BYTES_PER_DAY_PER_ADDRESS: '2000' })
  const statuses = []
  for (let n = 0; n < 10; n++) statuses.push((await announceAlone(api, 900)).status)
  assert.is(statuses.filter((status) => status === 201).length, 2)
  const refused = await announceAlone(api, 900)
  assert.equal(problemOf(refused), [429, 'quota_exhausted_today', 2000, 200])
  const waitSeconds = Number(refused.headers.get('retry-after'))
  assert.ok(Math.abs(Date.now() + waitSeconds * 1000 - new Date().setUTCHours(24, 0, 0, 0)) < 5_000)
  assert.equal(problemOf(await announceAlone(api, 2001)), [413, 'quota_exceeded', 1000, 1000])
  assert.is((await announceAlone(api, 900, { 'x-forwarded-for': '198.51.100.2' })).status, 201)
  assert.is((await announceAlone(api, 900, { authorization: `Bearer ${apiKey}` })).status, 201)
})

for (const [name, send] of waysToSend) {
  test(`${name} counts for the address`, async () => {
    const api = await start({ QUOTA_FILES_PER_DAY_PER_ADDRESS: '1' })
    const first = await send(createHttpClient(api.url))
    assert.ok(first.status < 300, String(first.status))
    assert.equal(problemOf(await send(createHttpClient(api.url))), [429, 'quota_exhausted_today', 1, 0])
  })
}

test("an admission that fails takes nothing of the address' quota", async () => {
  const api = await start({
    QUOTA_FILES_TOTAL: '0',
    QUOTA_FILES_PER_DAY_PER_ADDRESS: '1',
    MAX_UNFINISHED_UPLOADS_PER_ADDRESS: '1',
  })
  for (let n = 0; n < 3; n++) {
    assert.equal(problemOf(await announceAlone(api, 1)), [413, 'quota_exceeded', 0, 0])
  }
  const [days] = await Promise.all([api.redis.keys(`${api.prefix}:quota:*`)])
  assert.equal(days, [])
})

test("a failure after the reservation gives the address' quota back", async () => {
  const api = await start({ QUOTA_BYTES_PER_DAY_PER_ADDRESS: String(30 * MiB) })
  await api.stopCloud()
  // S3 does not respond, so no multipart upload is opened.
  for (let n = 0; n < 3; n++) assert.is((await announceAlone(api, 20 * MiB)).status, 503)
  assert.is((await announceAlone(api, 8 * MiB)).status, 201)
})

test('a direct upload of unknown size is refused before S3 makes an object of it', async () => {
  const api = await start({ QUOTA_BYTES_PER_DAY_PER_ADDRESS: '100' })
  const send = (size: number) => {
    const form = new FormData()
    form.append('file', new Blob([new Uint8Array(size)]), 'a.bin')
    return fetch(`${api.url}/upload`, { method: 'POST', body: form })
  }
  assert.is((await send(60)).status, 201)
  const refused = await send(60)
  assert.is(refused.status, 429)
  const { code, limit, remaining } = JSON.parse(await refused.text())
  assert.equal([code, limit, remaining], ['quota_exhausted_today', 100, 40])
  assert.is((await send(40)).status, 201)
})

test.run()
