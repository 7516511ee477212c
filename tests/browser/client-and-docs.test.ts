import { createClient } from '@millrace/client'
import type { Browser } from 'playwright-core'
import * as assert from 'uvu/assert'
import { seriousFindings } from '../support/axe.ts'
import { bundleForBrowser } from '../support/browser-bundle.ts'
import { openBrowser, openPage } from '../support/chromium.ts'
import { interceptRequests } from '../support/intercept-requests.ts'
import { suite } from '../support/suite.ts'
import { apiKeys, openSharedSystem } from './support/shared-system.ts'

const test = suite('client and docs', {}, { limitMs: 60_000 })
const MiB = 1024 ** 2

let url: string
let browser: Browser

test.before(async () => {
  ;({ url } = await openSharedSystem())
  browser = await openBrowser()
})
test.after(() => browser?.close())

test('waitUntilFinished reconnects when the event stream breaks off', async () => {
  const lastEventIds: (string | null)[] = []
  const client = createClient({
    origin: url,
    apiKey: apiKeys.client.key,
    fetch: async (request) => {
      const response = await fetch(request)
      if (!request.url.endsWith('/events')) return response
      lastEventIds.push(request.headers.get('last-event-id'))
      if (lastEventIds.length > 1 || !response.body) return response
      // Only the snapshot passes, then the connection breaks.
      const reader = response.body.getReader()
      let text = ''
      while (!text.includes('data:')) text += Buffer.from((await reader.read()).value ?? []).toString()
      await reader.cancel()
      let isSent = false
      const broken = new ReadableStream({
        pull(controller) {
          if (isSent) controller.error(new TypeError('terminated'))
          else controller.enqueue(Buffer.from(text))
          isSent = true
        },
      })
      return new Response(broken, { headers: response.headers })
    },
  })
  const announced = await client.api.POST('/uploads', {
    body: { filename: 'late.bin', contentType: 'application/x-late', size: 3 },
  })
  assert.ok(announced.data?.transport.kind === 'form')
  const { id, transport } = announced.data
  const states: string[] = []
  const snapshot = Promise.withResolvers<void>()
  const finished = client.waitUntilFinished(id, {
    onChange({ state }) {
      states.push(state)
      snapshot.resolve()
    },
  })
  await snapshot.promise
  const form = new FormData()
  for (const [name, value] of Object.entries(transport.fields)) form.append(name, value)
  form.append('file', new Blob(['abc']))
  assert.ok((await fetch(transport.url, { method: 'POST', body: form })).ok)
  assert.is((await finished).state, 'ready')
  assert.equal([states.at(0), states.at(-1)], ['awaiting', 'ready'])
  assert.equal([lastEventIds[0], typeof lastEventIds[1]], [null, 'string'])
})

test('the client sends a large file from a page and reports the sent bytes', async () => {
  const { context, page, errors } = await openPageWithClient()
  const seen = await page.evaluate(async () => {
    const { createClient } = millraceClient
    const client = createClient()
    const steps: number[] = []
    const file = new File([new Uint8Array(9 * 1024 ** 2)], 'zeros.bin', { type: 'application/x-zeros' })
    const { id } = await client.upload(file, { onProgress: (sent) => steps.push(sent) })
    const { state, size } = await client.waitUntilFinished(id)
    return { state, size, steps }
  })
  assert.equal([seen.state, seen.size], ['ready', 9 * 1024 ** 2])
  assert.equal(
    seen.steps.toSorted((a, b) => a - b),
    seen.steps,
  )
  assert.equal([seen.steps.at(0), seen.steps.at(-1)], [0, 9 * 1024 ** 2])
  assert.equal(errors, [])
  await context.close()
})

test('the client sends a small file from a page with one PUT, and its response may be lost', async () => {
  const { context, page, errors } = await openPageWithClient()
  const statuses: number[] = []
  await page.route(
    (address) => address.pathname.includes('/originals/'),
    async (route, request) => {
      if (request.method() !== 'PUT') return route.continue()
      const response = await route.fetch()
      statuses.push(response.status())
      if (statuses.length === 1) await route.abort()
      else await route.fulfill({ response })
    },
  )
  const seen = await page.evaluate(async () => {
    const { createClient } = millraceClient
    const client = createClient()
    const file = new File(['hello'], 'Ärger.txt', { type: 'text/plain; charset=utf-8' })
    const { id } = await client.upload(file, { metadata: { album: 'Öl & Wasser' } })
    const { state, filename, size, metadata } = await client.waitUntilFinished(id)
    return { state, filename, size, metadata }
  })
  assert.equal(seen, {
    state: 'ready',
    filename: 'Ärger.txt',
    size: 5,
    metadata: { album: 'Öl & Wasser' },
  })
  assert.equal(statuses, [200, 412])
  // Chromium logs the request whose response was lost, and the refusal.
  assert.equal(
    errors.filter((text) => !/^Failed to load resource: .*(ERR_FAILED|412)/.test(text)),
    [],
  )
  await context.close()
})

test('an upload in parts is paused, and continued after the page was loaded again, with the missing part', async () => {
  const { context, page, errors } = await openPageWithClient()
  const sent: string[] = []
  let isHeld = true
  page.on('request', (request) => {
    const { searchParams } = new URL(request.url())
    const part = searchParams.get('partNumber')
    if (request.method() === 'PUT' && searchParams.has('X-Amz-Signature') && part !== null) sent.push(part)
  })
  await interceptRequests(page, '*partNumber=2&*', () => (isHeld ? 'held' : 'sent'))
  const isLastPart = (request: { method(): string; url(): string }) =>
    request.method() === 'PUT' && request.url().includes('partNumber=2')

  const held = page.waitForRequest(isLastPart)
  // Its bytes are sent before its response has come.
  const firstAccepted = page.waitForEvent('requestfinished', (request) => {
    return request.method() === 'PUT' && request.url().includes('partNumber=1')
  })
  const task = await page.evaluateHandle(
    async (size) => {
      const { createClient } = millraceClient
      await fetch('/session')
      const file = new File([new Uint8Array(size)], 'zeros.bin', { type: 'application/x-z', lastModified: 1 })
      let onFirstPart = () => {}
      const hasFirstPart = new Promise<void>((resolve) => {
        onFirstPart = resolve
      })
      const task = createClient().startUpload(file, {
        onProgress: (sent) => sent >= 8 * 2 ** 20 && onFirstPart(),
      })
      await hasFirstPart
      return task
    },
    8 * MiB + 1,
  )
  await Promise.all([held, firstAccepted])
  const ended = page.waitForEvent('requestfailed', isLastPart)
  await task.evaluate((task) => task.pause())
  const states = [await task.evaluate(({ state }) => state)]
  await ended
  const heldAgain = page.waitForRequest(isLastPart)
  await task.evaluate((task) => task.resume())
  states.push(await task.evaluate(({ state }) => state))
  await heldAgain
  const id = await task.evaluate((task) => task.id)
  assert.equal(
    [states, sent.toSorted()],
    [
      ['paused', 'sending'],
      ['1', '2', '2'],
    ],
  )

  await page.reload()
  isHeld = false
  const seen = await page.evaluate(
    async (size) => {
      const { createClient } = millraceClient
      const client = createClient()
      const file = new File([new Uint8Array(size)], 'zeros.bin', { type: 'application/x-z', lastModified: 1 })
      const found = await client.findInterrupted(file)
      const steps: number[] = []
      const { id } = await client.upload(file, { onProgress: (sent) => steps.push(sent) })
      const { state } = await client.waitUntilFinished(id)
      return { found: found?.id, id, state, first: steps.at(0), last: steps.at(-1) }
    },
    8 * MiB + 1,
  )
  assert.equal(seen, { found: id, id, state: 'ready', first: 8 * MiB, last: 8 * MiB + 1 })
  assert.equal(sent.toSorted(), ['1', '2', '2', '2'])
  assert.equal(errors, [])
  await context.close()
})

test('the API docs page shows the routes accessibly without violating its content security policy', async () => {
  const context = await browser.newContext({ viewport: { width: 1280, height: 860 }, colorScheme: 'dark' })
  const { page, errors } = await openPage(context, `${url}/docs`)
  const operation = page.locator('#operations-uploads-announceUpload')
  await operation.waitFor({ timeout: 40_000 })
  await operation.getByRole('link', { name: 'Link to announceUpload' }).click()
  assert.match(page.url(), /#\/uploads\/announceUpload$/)
  await operation.getByText('Announce a file and get its transport').click()
  await operation.getByText('harbour.jpg').first().waitFor()
  await operation.getByRole('button', { name: 'Try it out' }).click()
  await operation.getByRole('textbox', { name: 'Request body' }).waitFor()
  // What the page shows at first is still there, so axe, which takes seconds here, runs once in each scheme.
  assert.equal(await seriousFindings(page), [])
  await page.getByRole('button', { name: 'Switch to light mode' }).click()
  // The colors of links change over 0.2 s.
  await page.evaluate('Promise.allSettled(document.getAnimations().map(({ finished }) => finished))')
  assert.equal(await seriousFindings(page, { colorsOnly: true }), [])
  await page.getByRole('link', { name: 'Millrace console' }).click()
  await page.waitForURL(`${url}/`)
  assert.equal(errors, [])
  await context.close()
})

/** The client as a global object of the page. */
declare const millraceClient: typeof import('@millrace/client')

/**
 * Opens the console's page, with its content security policy, in which the client is a global object. As a script that Playwright
 * adds, and not as a response that it makes: then it would see each request of the page, with all bytes of its files.
 */
async function openPageWithClient() {
  const content = await bundleForBrowser('packages/client/src/client.ts', { globalName: 'millraceClient' })
  const context = await browser.newContext()
  await context.addInitScript({ content })
  return { context, ...(await openPage(context, url)) }
}

test.run()
