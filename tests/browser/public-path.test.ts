import { PutObjectCommand } from '@aws-sdk/client-s3'
import { newApiKey } from '@millrace/api/credentials/api-keys.ts'
import { createClient } from '@millrace/client'
import { buildConsole } from '@millrace/local/setup/console-build.ts'
import { variantKey } from '@millrace/shared/ledger/object-keys.ts'
import { createUploadRecords } from '@millrace/shared/uploads/upload-records.ts'
import type { Browser } from 'playwright-core'
import { Upload as TusUpload } from 'tus-js-client'
import Type from 'typebox'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../support/api-instances.ts'
import { dropFiles, openBrowser, openPage } from '../support/chromium.ts'
import { bodyOf, createHttpClient } from '../support/http-client.ts'
import { sendPart } from '../support/send-upload.ts'
import { startPrefixProxy } from '../support/start-prefix-proxy.ts'
import { suite } from '../support/suite.ts'

const test = suite('PUBLIC_ORIGIN with a path', {}, { limitMs: 60_000 })
const { key, entry } = newApiKey('shop', ['uploads:read', 'uploads:write', 'act-as', 'tenant'])
const authorization = `Bearer ${key}`
const prefix = '/media'

let proxy: Awaited<ReturnType<typeof startPrefixProxy>>
let api: ApiInstances
let browser: Browser
/** What a team writes down as the address of its API. */
let publicUrl: string

test.before(async () => {
  proxy = await startPrefixProxy(prefix)
  publicUrl = `${proxy.origin}${prefix}`
  api = await startApiInstances({
    environment: {
      PUBLIC_ORIGIN: publicUrl,
      API_KEYS: entry,
      // For the page of the fleet.
      OPEN_ADMIN: 'true',
      CONSOLE_DIRECTORY: await buildConsole(() => {}),
    },
  })
  proxy.forwardTo(api.url)
  browser = await openBrowser()
})
test.after(async () => {
  await browser?.close()
  await api?.close()
  await proxy?.close()
})
test.after.each(() => {
  // Whatever an answer of the API refers to is under its path.
  assert.equal(proxy.outside.splice(0), [])
})

/** Resolves a reference as a client does that knows only the proxy's origin. */
const resolve = (reference: string | null) => new URL(reference ?? '', proxy.origin)

test('our client sends a file through the proxy, follows it, and reads a variant', async () => {
  const client = createClient({ origin: publicUrl, apiKey: key })
  const id = (await client.upload(new Blob(['hello']), { filename: 'a.txt', contentType: 'text/plain' })).id
  const finished = client.waitUntilFinished(id)
  await makeReady(id)
  const { variants } = await finished
  assert.equal(
    variants.map(({ url }) => url),
    [`${prefix}/uploads/${id}/variants/w320`],
  )
  const file = await fetch(resolve(variants[0]?.url ?? ''), { headers: { authorization } })
  assert.is(await file.text(), 'variant')
  const { data } = await client.api.GET('/uploads')
  assert.is(data?.uploads[0]?.variants[0]?.url, `${prefix}/uploads/${id}/variants/w320`)
})

test('the board of the queues shows them and pauses one, with the strictest policy', async () => {
  const context = await browser.newContext()
  const { page, errors } = await openPage(context, `${publicUrl}/admin/queues`)
  const foreign: string[] = []
  page.on('request', (request) => {
    if (!request.url().startsWith(publicUrl)) foreign.push(request.url())
  })
  for (const name of ['uploads', 'imports', 'webhooks'])
    await page.getByText(name, { exact: true }).first().waitFor()
  await page.goto(`${publicUrl}/admin/queues/queue/uploads`)
  await page.getByText('No latest jobs').waitFor()
  const paused = page.waitForResponse((response) => response.url().endsWith('/api/queues/uploads/pause'))
  await page.locator('button').last().click()
  await page.getByText('Pause', { exact: true }).click()
  await page.getByRole('button', { name: 'Confirm' }).click()
  assert.is((await paused).status(), 200)
  assert.is(await api.redis.hget(`${api.prefix}:uploads:meta`, 'paused'), '1')
  // The board preloads scripts that it does not need at once.
  const faults = errors.filter((text) => !text.includes('was preloaded using link preload'))
  assert.equal([faults, foreign], [[], []])
  await context.close()
})

/** Writes what a worker would write: a variant, and the record of a finished upload. */
async function makeReady(id: string): Promise<void> {
  const records = createUploadRecords({ redis: api.redis, prefix: api.prefix })
  const address = { owner: 'shop', id }
  const variant = variantKey(address, { version: 'default', name: 'w320', sha256: 'ab12', extension: 'webp' })
  await api.s3.send(new PutObjectCommand({ Bucket: api.bucket, Key: variant, Body: 'variant' }))
  await records.update(address, (upload) => ({
    ...upload,
    state: 'ready',
    variants: [{ name: 'w320', key: variant, contentType: 'image/webp', width: 320, height: 200, size: 7 }],
  }))
}

test('every Location leads through the proxy to what it names', async () => {
  const headers = { authorization }
  const json = { ...headers, 'content-type': 'application/json' }
  const announced = { filename: 'a.txt', contentType: 'text/plain', size: 5 }
  const webhook = { url: 'https://hooks.example/', events: ['upload.ready'] }
  const requests = [
    new Request(`${publicUrl}/uploads`, { method: 'POST', headers: json, body: JSON.stringify(announced) }),
    new Request(`${publicUrl}/upload?filename=a.txt`, {
      method: 'POST',
      headers: { ...headers, 'content-type': 'text/plain' },
      body: 'hello',
    }),
    new Request(`${publicUrl}/webhooks`, { method: 'POST', headers: json, body: JSON.stringify(webhook) }),
    new Request(`${publicUrl}/users?user=ada`, { method: 'DELETE', headers }),
  ]
  await fetch(`${publicUrl}/uploads`, {
    method: 'POST',
    headers: { ...json, 'millrace-user': 'ada' },
    body: JSON.stringify(announced),
  })
  for (const request of requests) {
    const response = await fetch(request)
    const location = response.headers.get('location')
    assert.match(location ?? '', /^\/media\/(uploads|webhooks|erasures)\//, await response.text())
    assert.is((await fetch(resolve(location), { headers })).status, 200, location ?? '')
  }
})

test('tus-js-client sends a file through the proxy, and its URL is of the proxy', async () => {
  const bytes = Buffer.from('tus through a proxy')
  const finished = Promise.withResolvers<string | null>()
  const upload = new TusUpload(bytes, {
    endpoint: `${publicUrl}/tus/`,
    headers: { authorization },
    metadata: { filename: 'a.txt' },
    chunkSize: 8,
    onSuccess: () => finished.resolve(upload.url),
    onError: finished.reject,
  })
  upload.start()
  const url = (await finished.promise) ?? ''
  assert.ok(url.startsWith(`${publicUrl}/tus/`), url)
  const id = url.slice(`${publicUrl}/tus/`.length)
  const { data } = await createClient({ origin: publicUrl, apiKey: key }).api.GET('/uploads/{id}', {
    params: { path: { id } },
  })
  assert.is(data?.size, bytes.length)
})

test("Uppy's requests work through the proxy, and its location is of the proxy", async () => {
  const client = createHttpClient(proxy.origin)
  const post = (path: string, json: unknown) => client.post(`${prefix}${path}`, json)
  const file = { filename: 'a.bin', type: 'text/plain', metadata: { size: 5 } }
  const opened = bodyOf(await post('/uppy/s3/multipart', file), Type.Object({ uploadId: Type.String() }))
  const path = `/uppy/s3/multipart/${opened.uploadId}`
  const { url } = bodyOf(await client.get(`${prefix}${path}/1`), Type.Object({ url: Type.String() }))
  const ETag = await sendPart(url, new TextEncoder().encode('hello'))
  const completed = await post(`${path}/complete`, { parts: [{ PartNumber: 1, ETag }] })
  const { location } = bodyOf(completed, Type.Object({ location: Type.String() }))
  assert.is(location, `${publicUrl}/uploads/${opened.uploadId}`)
  assert.is((await client.get(location)).status, 200)
})

test('the session cookie has the name of the path, so that two APIs can have one origin', async () => {
  const { headers } = await createHttpClient(proxy.origin).get(`${prefix}/session`)
  assert.match(headers.get('set-cookie') ?? '', /^millrace\.media=.*; Path=\/;/)
})

test('a proxy that keeps the path works as well', async () => {
  const client = createHttpClient(api.url)
  for (const path of [
    '/media',
    '/media/',
    '/media?x=1',
    '/media/health',
    '/media/docs/',
    '/media/uploads?limit=1',
  ]) {
    assert.is((await client.get(path)).status, 200, path)
  }
  for (const path of ['/mediation', '/media/media/health', '/other/health']) {
    assert.is((await client.get(path)).status, 404, path)
  }
})

test('the OpenAPI document names the path as its server', async () => {
  const { body } = await createHttpClient(proxy.origin).get(`${prefix}/openapi.json`)
  const { servers } = bodyOf(
    { status: 200, headers: new Headers(), body },
    Type.Object({ servers: Type.Unknown() }),
  )
  assert.equal(servers, [{ url: prefix, description: 'on the origin of this document' }])
})

test('the console uploads a file through the proxy, wherever its page was opened', async () => {
  const context = await browser.newContext()
  for (const path of ['', '/']) {
    const { page, errors } = await openPage(context, `${publicUrl}${path}`)
    await page.getByRole('heading', { name: 'Uploads', level: 1 }).waitFor()
    await dropFiles(page.locator('body'), [
      { name: `a${path.length}.txt`, type: 'text/plain', bytes: Buffer.from('hello') },
    ])
    const row = page.locator('.sending-row').filter({ hasText: `a${path.length}.txt` })
    await row.getByText('Uploaded, waiting for a worker').waitFor()
    const sent = page.getByRole('gridcell', { name: `a${path.length}.txt` })
    await sent.waitFor()
    await page.getByRole('link', { name: 'Fleet' }).click()
    await page.getByRole('heading', { name: 'Fleet', level: 1 }).waitFor()
    assert.is(page.url(), `${publicUrl}/console/fleet`)
    // The tray stays while pages change.
    await row.waitFor()
    await page.getByRole('link', { name: 'Uploads', exact: true }).click()
    await page.getByRole('heading', { name: 'Uploads', level: 1 }).waitFor()
    await sent.waitFor()
    assert.is(page.url(), `${publicUrl}/`)
    assert.equal(errors, [])
    await page.close()
  }
  await context.close()
})

test('the pages of the documentation refer to files under the path', async () => {
  const client = createHttpClient(proxy.origin)
  for (const path of ['/media/docs', '/media/docs/']) {
    const { body } = await client.get(path)
    const files = [...String(body).matchAll(/(?:src|href)="([^"]+)"/g)].map(([, reference = '']) => reference)
    assert.ok(files.length > 3)
    for (const file of files) {
      const { pathname } = new URL(file, `${proxy.origin}${path}`)
      assert.is((await client.get(pathname)).status, 200, pathname)
    }
  }
  const { headers } = await client.get('/media/docs/static/index.html')
  assert.is(headers.get('location'), '/media/docs/')
})

test.run()
