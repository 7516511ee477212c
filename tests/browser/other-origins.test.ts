import type { Browser } from 'playwright-core'
import * as assert from 'uvu/assert'
import { bundleForBrowser } from '../support/browser-bundle.ts'
import { openBrowser, openPage } from '../support/chromium.ts'
import { suite } from '../support/suite.ts'
import { samplePicture } from '../worker/support/sample-images.ts'
import { apiKeys, openSharedSystem, type SharedSystem } from './support/shared-system.ts'

const test = suite('pages of other origins', {}, { limitMs: 60_000 })
const { key } = apiKeys.otherOrigins

let system: SharedSystem
/** The API's origin, http://localhost with a port. */
let api: string
let photo: string
let browser: Browser

test.before(async () => {
  const script = await bundleForBrowser('packages/client/src/client.ts')
  system = await openSharedSystem()
  api = system.url
  system.serve((request, response) => {
    const isScript = request.url === '/page.js'
    response.setHeader('content-type', isScript ? 'text/javascript' : 'text/html')
    response.end(isScript ? script : '<!doctype html><link rel="icon" href="data:,"><title>frontend</title>')
  })
  photo = (await samplePicture(400, 300).jpeg().toBuffer()).toString('base64')
  browser = await openBrowser()
})
test.after(() => browser?.close())

/** Opens a page of the frontend in a browser without cookies, under one of its names. Each is an origin of its own. */
async function openFrontend(host: string) {
  const context = await browser.newContext()
  return { context, ...(await openPage(context, `http://${host}:${system.frontendPort}/`)) }
}

// The page's globals that are used here. The tests are type-checked with the services, which have no DOM types.
declare class XMLHttpRequest {
  readonly upload: { onprogress: (event: { loaded: number }) => void }
  readonly status: number
  readonly responseText: string
  withCredentials: boolean
  onloadend: () => void
  open(method: string, url: string): void
  setRequestHeader(name: string, value: string): void
  send(body: Blob): void
}
declare class EventSource {
  constructor(url: string, options: { withCredentials: boolean })
  addEventListener(name: string, listener: (event: { data: string }) => void): void
  onerror: () => void
  close(): void
}
declare class Image {
  src: string
  naturalWidth: number
  decode(): Promise<void>
}
type PageModule = {
  createClient: typeof import('@millrace/client').createClient
}

/** Sends a photo in each way of the client, and reads it back by fetch. Runs in the page. */
async function sendAndRead([api, photo, key]: readonly [string, string, string | undefined]) {
  const { createClient }: PageModule = await import('/page.js' as string)
  const headers: Record<string, string> = key === undefined ? {} : { authorization: `Bearer ${key}` }
  const credentials = key === undefined ? 'include' : 'omit'
  const client = createClient({
    origin: api,
    ...(key !== undefined && { apiKey: key }),
    fetch: (request) => fetch(new Request(request, { credentials })),
  })
  if (key === undefined) await fetch(`${api}/session`, { credentials })
  const bytes = Uint8Array.from(atob(photo), (character) => character.charCodeAt(0))
  const steps: number[] = []
  // One PUT, then parts, which need to read ETag.
  const { id } = await client.upload(new File([bytes], 'photo.jpg', { type: 'image/jpeg' }))
  const parts = await client.upload(
    new File([new Uint8Array(9 * 2 ** 20)], 'zeros.bin', { type: 'application/x-zeros' }),
    {
      onProgress: (sent) => steps.push(sent),
    },
  )
  const [finished, inParts] = [await client.waitUntilFinished(id), await client.waitUntilFinished(parts.id)]
  const announced = await client.api.POST('/uploads', {
    body: { filename: 'note.txt', contentType: 'text/plain', size: 5 },
  })
  const { transport } = announced.data ?? {}
  if (transport?.kind !== 'form') throw new Error('The transport is not a form.')
  const form = new FormData()
  for (const [name, value] of Object.entries(transport.fields)) form.append(name, value)
  form.append('file', new Blob(['hello']))
  const posted = await fetch(transport.url, { method: 'POST', body: form })

  const direct = await new Promise<{ status: number; progress: boolean; location: string | undefined }>(
    (resolve) => {
      const request = new XMLHttpRequest()
      let progress = false
      request.withCredentials = key === undefined
      request.upload.onprogress = () => {
        progress = true
      }
      request.onloadend = () =>
        resolve({ status: request.status, progress, location: JSON.parse(request.responseText).id })
      request.open('POST', `${api}/upload?filename=direct.bin`)
      request.setRequestHeader('content-type', 'application/x-zeros')
      for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value)
      request.send(new Blob([new Uint8Array(2 ** 20)]))
    },
  )
  const variant = await fetch(`${api}/uploads/${id}/variants/thumbnail`, { headers, credentials })
  const original = await fetch(`${api}/uploads/${id}/original`, {
    headers: { ...headers, range: 'bytes=0-1' },
    credentials,
  })
  const listed = await fetch(`${api}/uploads?limit=100`, { headers, credentials })
  const problem = await fetch(`${api}/uploads/none`, { headers, credentials })
  const page: { uploads: unknown[] } = JSON.parse(await listed.text())
  const refusal: { code: string } = JSON.parse(await problem.text())
  return {
    id,
    otherVariant: finished.variants.map(({ name }) => name).find((name) => name !== 'thumbnail'),
    states: [finished.state, inParts.state],
    hasProgress: steps.length > 2,
    form: [posted.status, posted.headers.get('etag') !== null],
    direct: [direct.status, direct.progress, direct.location !== undefined],
    variant: [variant.status, variant.headers.get('content-type'), (await variant.blob()).size > 0],
    original: [original.status, (await original.blob()).size],
    count: page.uploads.length,
    problem: [problem.status, refusal.code, problem.headers.get('x-request-id') !== null],
  }
}

const everythingWorks = {
  states: ['ready', 'ready'],
  hasProgress: true,
  form: [201, true],
  direct: [201, true, true],
  variant: [200, 'image/jpeg', true],
  original: [206, 2],
  count: 4,
  problem: [404, 'upload_not_found', true],
}

test('a page of the same site sends and reads files with a cookie, follows events and shows pictures', async () => {
  const { context, page, errors } = await openFrontend('localhost')
  const { id, otherVariant, ...seen } = await page.evaluate(sendAndRead, [api, photo, undefined] as const)
  assert.equal(seen, everythingWorks)
  const shown = await page.evaluate(async (address) => {
    const image = new Image()
    image.src = address
    await image.decode()
    // S3's response to the picture, which the browser keeps, has no CORS headers.
    const read = await fetch(image.src, { credentials: 'include' })
    const api = new URL(address).origin
    const events = new EventSource(`${api}/events`, { withCredentials: true })
    const snapshot = await new Promise<{ uploads: unknown[] }>((resolve, reject) => {
      events.addEventListener('snapshot', ({ data }) => resolve(JSON.parse(data)))
      events.onerror = () => reject(new Error('The event stream failed.'))
    })
    events.close()
    const ended = await fetch(`${api}/session`, { method: 'DELETE', credentials: 'include' })
    return {
      width: image.naturalWidth > 0,
      read: read.status,
      uploads: snapshot.uploads.length,
      ended: ended.status,
    }
  }, `${api}/uploads/${id}/variants/${otherVariant}`)
  assert.equal(shown, { width: true, read: 200, uploads: 4, ended: 204 })
  // The browser writes the refused request of the test itself.
  assert.ok(
    errors.every((line) => line.includes('404')),
    errors.join('\n'),
  )
  await context.close()
})

test('a page of another site sends and reads files with a token, and gets nothing without one', async () => {
  const { context, page } = await openFrontend('127.0.0.1')
  const {
    id: _id,
    otherVariant: _name,
    ...seen
  } = await page.evaluate(sendAndRead, [api, photo, key] as const)
  assert.equal(seen, everythingWorks)
  const anonymous = await page.evaluate(async (api) => {
    const send = (credentials: 'include' | 'omit') =>
      fetch(`${api}/uploads`, {
        method: 'POST',
        credentials,
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ filename: 'a', contentType: 'text/plain', size: 1 }),
      }).then(
        async (response) => {
          const { code }: { code: string } = JSON.parse(await response.text())
          return `${response.status} ${code}`
        },
        (error: unknown) => String(error),
      )
    return [await send('omit'), await send('include')]
  }, api)
  // With `include`, the browser does not even send the request.
  assert.equal(anonymous, ['403 cross_site', 'TypeError: Failed to fetch'])
  assert.equal(await context.cookies(api), [])
  await context.close()
})

test('a page whose origin is not allowed reads nothing and changes nothing', async () => {
  const { context, page } = await openFrontend('other.localhost')
  const attempts = await page.evaluate(async (api) => {
    const attempt = (path: string, options: RequestInit) =>
      fetch(api + path, { credentials: 'include', ...options }).then(
        ({ status, type }) => `${status} ${type}`,
        (error: unknown) => String(error),
      )
    return [
      await attempt('/session', {}),
      await attempt('/uploads', {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: '{}',
      }),
      await attempt('/session', { method: 'DELETE' }),
      await attempt('/tus', { method: 'POST', headers: { 'tus-resumable': '1.0.0' } }),
    ]
  }, api)
  assert.equal([...new Set(attempts)], ['TypeError: Failed to fetch'])
  await context.close()
})

test.run()
