import { newApiKey } from '@millrace/api/credentials/api-keys.ts'
import { CreatedKey } from '@millrace/api/tenants/key-routes.ts'
import type { Browser, BrowserContext, Page } from 'playwright-core'
import Type from 'typebox'
import { Value } from 'typebox/value'
import * as assert from 'uvu/assert'
import { seriousFindings } from '../support/axe.ts'
import { openBrowser, visit } from '../support/chromium.ts'
import { createVisits } from '../support/page-visits.ts'
import { startSystem } from '../support/start-millrace.ts'
import { suite } from '../support/suite.ts'
import { type Receiver, startReceiver } from '../worker/support/receiver.ts'
import { samplePicture, truncated } from '../worker/support/sample-images.ts'

const test = suite('console for operators', {}, { limitMs: 60_000 })

const scopes = ['uploads:read', 'uploads:write', 'act-as', 'tokens', 'tenant'] as const
const tenant = newApiKey('shop', [...scopes])
const operator = newApiKey('ops', ['uploads:read', 'admin'])
const reader = newApiKey('shop', ['uploads:read'])
/** What Chromium writes to the console for a response with an error status. */
const failedResponse = /^Failed to load resource/

let millrace: Awaited<ReturnType<typeof startSystem>>
let origin: string
let receiver: Receiver
let receiverStatus = 204
let browser: Browser
let visits: ReturnType<typeof createVisits>
let context: BrowserContext
let page: Page
let errors: string[]

test.before(async () => {
  receiver = await startReceiver((_, response) => void response.writeHead(receiverStatus).end('thank you'))
  millrace = await startSystem([], {
    API_KEYS: `${tenant.entry},${reader.entry},${operator.entry}`,
    WEBHOOK_ALLOWED_NETWORKS: '127.0.0.0/8',
    QUOTA_FILES_TOTAL: '20',
    OPEN_ADMIN: 'false',
  })
  origin = millrace.url
  browser = await openBrowser()
  visits = createVisits(browser, origin, { viewport: { width: 1280, height: 800 }, locale: 'en-GB' })
})
test.after(async () => {
  await browser?.close()
  await millrace?.close()
  await receiver?.close()
})
test.before.each(async () => {
  receiverStatus = 204
  ;({ context, page } = await visits.begin())
})

const dialog = () => page.getByRole('dialog')
const button = (name: string | RegExp) => page.getByRole('button', { name })
const row = (text: string | RegExp) => page.getByRole('row').filter({ hasText: text })
const alert = (text: string | RegExp) => page.getByRole('alert').filter({ hasText: text })

async function open(path: string): Promise<void> {
  errors = await visit(page, `${origin}${path}`)
}

/** Opens a page in a session that is signed in already. The first test does it in the page. */
async function openSignedIn(path: string, key = tenant.key): Promise<void> {
  const response = await context.request.put(`${origin}/session/key`, { data: { key }, headers: { origin } })
  assert.is(response.status(), 200, await response.text())
  await open(path)
}

/** Sends a request with the key of the tenant's administrator. */
function send(method: string, path: string, json?: object, headers: Record<string, string> = {}) {
  return fetch(`${origin}${path}`, {
    method,
    headers: {
      authorization: `Bearer ${tenant.key}`,
      ...(json && { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(json && { body: JSON.stringify(json) }),
  })
}

test('an operator signs in with an API key, sees who they are, and signs out', async () => {
  await open('/console/keys')
  await page.getByText('Not signed in').waitFor()
  await button('Sign in with an API key').click()
  const field = page.getByLabel('API key')
  assert.is(await field.getAttribute('type'), 'password')
  await field.fill('mr_wrong')
  await page.keyboard.press('Enter')
  await alert('The API key is unknown or was revoked.').waitFor()
  assert.is(await field.getAttribute('aria-invalid'), 'true')
  await field.fill(tenant.key)
  await Promise.all([page.waitForEvent('load'), page.keyboard.press('Enter')])
  await page.getByText('API key …').waitFor()
  await button('Create key').waitFor()
  assert.not.match(await page.content(), tenant.key)
  const stored: unknown = await page.evaluate(
    'JSON.stringify([localStorage, sessionStorage, document.cookie])',
  )
  assert.not.match(String(stored), tenant.key)

  await Promise.all([page.waitForEvent('load'), button('Sign out').click()])
  await page.getByText('Not signed in').waitFor()
  await page.getByRole('heading', { name: 'Sign in to manage API keys' }).waitFor()
  assert.equal(
    errors.filter((text) => !failedResponse.test(text)),
    [],
  )
})

test('a key without the scope sees what it needs, on every page', async () => {
  await openSignedIn('/console/keys', reader.key)
  for (const [link, purpose] of [
    ['Keys', 'manage API keys'],
    ['Webhooks', 'manage webhooks'],
    ['Usage', 'see the usage'],
  ] as const) {
    await page.getByRole('link', { name: link }).click()
    await page.getByRole('heading', { name: link, level: 1 }).waitFor()
    await page.getByRole('heading', { name: 'Your sign-in does not allow this' }).waitFor()
    await page.getByText(`To ${purpose}, sign in with an API key that has the scope tenant.`).waitFor()
  }
  assert.is(await button('Create key').count(), 0)
  assert.equal(errors, [])
})

test('a key is created with the keyboard, shown once, listed and revoked', async () => {
  await openSignedIn('/console/keys')
  await button('Create key').focus()
  await page.keyboard.press('Enter')
  await page.getByLabel('What it is for').waitFor()
  await page.keyboard.type('nightly export')
  assert.is(await page.getByLabel('admin').count(), 0, 'a scope that the creator does not have')
  await page.getByLabel('uploads:write').uncheck()
  await page.getByLabel('Expires').selectOption({ label: 'In 30 days' })
  await page.keyboard.press('Tab')
  await page.getByLabel('What it is for').press('Enter')
  await page.getByText('Copy the key now.').waitFor()
  const key = (await dialog().locator('code').textContent()) ?? ''
  assert.match(key, /^mr_/)
  const use = () => fetch(`${origin}/uploads`, { headers: { authorization: `Bearer ${key}` } })
  assert.is((await use()).status, 200)
  await button('Done').click()
  await row('nightly export').waitFor()
  assert.not.match(await page.content(), key)
  assert.match((await row('nightly export').textContent()) ?? '', /uploads:read/)

  await button('Revoke nightly export').click()
  await dialog().waitFor()
  await page.keyboard.press('Escape')
  await dialog().waitFor({ state: 'detached' })
  assert.is(await page.evaluate('document.activeElement.textContent'), 'Revoke nightly export')
  await page.keyboard.press('Enter')
  await button('Revoke key').click()
  await page.getByText('The key is revoked.').waitFor()
  await row('nightly export').waitFor({ state: 'detached' })
  assert.is((await use()).status, 401)
  assert.equal(errors, [])
})

test('an upload token is made with limits, shown with curl, and revoked', async () => {
  await openSignedIn('/console/keys')
  await button('Try an upload token').click()
  await page.getByLabel('Largest file, in MB').fill('0.001')
  await page.getByLabel('File types').fill('text/plain')
  await button('Make token').click()
  await page.getByText('Send a file with it').waitFor()
  const command = (await dialog().locator('pre').textContent()) ?? ''
  const [, url = ''] = /curl '([^']+)'/.exec(command) ?? []
  const [, token = ''] = /Bearer ([^']+)'/.exec(command) ?? []
  const upload = (bytes: number) => {
    const body = new FormData()
    body.set('file', new File(['x'.repeat(bytes)], 'a.txt', { type: 'text/plain' }))
    return fetch(url, { method: 'POST', headers: { authorization: `Bearer ${token}` }, body })
  }
  assert.is((await upload(10)).status, 201)
  assert.is((await upload(2_000)).status, 413)
  await button('Revoke token').click()
  await page.getByText('The token is revoked.').waitFor()
  assert.is((await upload(10)).status, 401)
  assert.equal(errors, [])
})

test('a webhook is added, tested, replayed, changed, disabled, gets a new secret, and is deleted', async () => {
  await openSignedIn('/console/webhooks')
  await page.getByRole('heading', { name: 'No webhooks yet' }).waitFor()
  await button('Add webhook').click()
  await page.getByLabel('Address of your backend').fill('https://192.168.0.1/hook')
  await dialog().getByRole('button', { name: 'Add webhook' }).click()
  await alert('must be at a public address').waitFor()
  await page.getByLabel('Address of your backend').fill(receiver.url)
  await dialog().getByRole('button', { name: 'Add webhook' }).click()
  await page.getByText('Give this secret to your backend').waitFor()
  assert.match((await dialog().locator('code').textContent()) ?? '', /^whsec_/)
  await button('Done').click()

  await page.getByRole('link', { name: receiver.url }).click()
  await page.getByText('Nothing was sent yet').waitFor()
  await button('Send test').click()
  await row('Delivered').waitFor()
  assert.is(receiver.seen.length, 1)
  receiverStatus = 500
  await button('Send test').click()
  await row(/Failed.*500/)
    .getByRole('button')
    .click()
  await page.getByText('thank you').waitFor()
  receiverStatus = 204
  await button('Send again').click()
  await page.getByText('Delivered').nth(1).waitFor()
  assert.is(receiver.seen.length, 3)

  await button('Change').click()
  await page.getByLabel('Description').fill('tells the shop')
  await page.getByLabel('upload.deleted').check()
  await button('Save').click()
  await page.getByText('tells the shop').waitFor()
  await page.getByText('deleted', { exact: true }).waitFor()
  await button('Disable').click()
  await page.getByText('Disabled', { exact: true }).waitFor()
  await button('Enable').click()
  await page.getByText('Enabled', { exact: true }).waitFor()
  await button('Rotate').click()
  await button('Rotate secret').click()
  assert.match((await dialog().locator('code').textContent()) ?? '', /^whsec_/)
  await button('Done').click()
  await page.locator('.secret-line').nth(1).waitFor()

  await page.reload()
  await page.getByText('tells the shop').waitFor()
  await button('Delete webhook').click()
  await dialog().getByRole('button', { name: 'Delete webhook' }).click()
  await page.getByRole('heading', { name: 'No webhooks yet' }).waitFor()
  assert.equal(
    errors.filter((text) => !failedResponse.test(text)),
    [],
  )
})

test('rejected uploads are shown with their reason, and failed ones are retried, one or all', async () => {
  const response = await fetch(`${origin}/upload`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${tenant.key}`,
      'content-type': 'image/jpeg',
      'content-disposition': 'attachment; filename=half.jpg',
    },
    body: new Uint8Array(truncated(await samplePicture(300, 200).jpeg().toBuffer())),
  })
  const { id } = Value.Parse(Type.Object({ id: Type.String() }), await response.json())
  const read = async () => Value.Parse(Type.Object({}), await (await send('GET', `/uploads/${id}`)).json())
  while (!('error' in (await read())));
  await openSignedIn('/console/queues')
  await row('half.jpg').getByText('The JPEG is incomplete').waitFor()
  await page.getByText('Nothing has failed').waitFor()
  // The panel of the upload has the evidence.
  await page.getByRole('link', { name: 'half.jpg' }).click()
  await page.getByRole('heading', { name: 'half.jpg' }).waitFor()
  await page.getByText('The JPEG is incomplete').first().waitFor()
  await page.goBack()

  // No file makes processing fail. So the API's responses are made here.
  const failed = { ...(await read()), filename: 'photo.jpg', state: 'failed' }
  await page.route(/uploads\?state=failed/, (route) => route.fulfill({ json: { uploads: [failed] } }))
  const asked: string[] = []
  await page.route(/reprocess$/, (route) => {
    asked.push(`${route.request().url().replace(origin, '')} ${route.request().postData()}`)
    const results = { results: [{ id, outcome: 'accepted' }] }
    return route.fulfill({ json: asked.length === 1 ? failed : results })
  })
  await page.reload()
  await button('Retry photo.jpg').click()
  await page.getByText('photo.jpg is processed again.').waitFor()
  await button('Retry all').click()
  await page.getByText('One upload is processed again.').waitFor()
  await page.getByText('API key that has the scope admin').waitFor()
  assert.equal(asked, [`/uploads/${id}/reprocess {}`, '/uploads/reprocess {"filter":{"state":["failed"]}}'])
  assert.equal(
    errors.filter((text) => !failedResponse.test(text)),
    [],
  )
})

test('dead letters are shown with their reason and sent again', async () => {
  await openSignedIn('/console/queues', operator.key)
  await page.getByRole('heading', { name: 'No dead letters' }).waitFor()
  await page.getByRole('link', { name: 'board of the queues' }).waitFor()

  // A message dies after an hour of attempts. So the API's responses are made here.
  const letter = {
    id: '5fea7756-0ea4-451a-a703-a558b933e274',
    sentAt: '2026-11-25T12:00:00.000Z',
    receivedCount: 61,
    objects: [{ key: 'originals/acme/lost', kind: 'original', owner: 'acme', state: 'received' }],
    reason: { code: 'TypeError', at: '2026-11-25T13:01:12.000Z' },
  }
  let left = 2
  await page.route(/admin\/dead-letters/, (route) => {
    if (route.request().method() === 'POST') left -= 1
    const counts = { count: left, hidden: 0 }
    return route.fulfill({
      json:
        route.request().method() === 'POST'
          ? { moved: 1, ...counts }
          : { ...counts, messages: left > 0 ? [letter] : [] },
    })
  })
  await page.reload()
  await row('originals/acme/lost').getByText('TypeError').waitFor()
  assert.equal(await seriousFindings(page), [], 'dead letters')
  await button('Send all again').click()
  await page.getByText('2 events were sent again.').waitFor()
  await page.getByRole('heading', { name: 'No dead letters' }).waitFor()
})

test('usage shows files, bytes and share of the quota by user', async () => {
  for (const [user, bytes] of [
    ['ada', 1_000],
    ['bob', 2_000],
  ] as const) {
    const response = await fetch(`${origin}/upload`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${tenant.key}`,
        'millrace-user': user,
        'content-type': 'text/plain',
        'content-disposition': 'attachment; filename=a.txt',
      },
      body: 'x'.repeat(bytes),
    })
    assert.is(response.status, 201)
  }
  await openSignedIn('/console/usage')
  const cells = async (user: string) => (await row(user).textContent()) ?? ''
  await row('bob').waitFor()
  assert.match(await cells('ada'), /1.*1\.0\skB.*5 %/)
  assert.match(await cells('bob'), /2\.0\skB/)
  await page.getByText('20 files').waitFor()
  assert.equal(errors, [])
})

test('a page that cannot be loaded says why, and can be loaded again', async () => {
  await openSignedIn('/console/queues')
  for (const [path, link, what] of [
    ['keys', 'Keys', 'The keys'],
    ['webhooks', 'Webhooks', 'The webhooks'],
    ['usage', 'Usage', 'The usage'],
  ] as const) {
    await page.route(`${origin}/${path}*`, (route) => route.abort())
    await page.getByRole('link', { name: link }).click()
    await alert(`${what} could not be loaded`).waitFor()
    await page.unrouteAll()
    await button('Try again').click()
    await alert(`${what} could not be loaded`).waitFor({ state: 'detached' })
    assert.is(await alert(/./).count(), 0)
  }
})

test('when its key is revoked, the page says so and offers to sign in again', async () => {
  const response = await send('POST', '/keys', { scopes: ['tenant', 'uploads:read'] })
  const { key, id } = Value.Parse(Type.Pick(CreatedKey, ['key', 'id']), await response.json())
  await openSignedIn('/console/webhooks', key)
  await page.getByRole('heading', { name: 'No webhooks yet' }).waitFor()
  await send('DELETE', `/keys/${id}`)
  await page.getByRole('link', { name: 'Keys' }).click()
  await alert('You are no longer signed in').waitFor()
  await page.reload()
  await alert('You are no longer signed in').waitFor()
  await Promise.all([page.waitForEvent('load'), button('Continue without').click()])
  await page.getByText('Not signed in').waitFor()
  assert.is(await alert('You are no longer signed in').count(), 0)
})

test('all pages are accessible, in light and dark and on a phone', async () => {
  await open('/console/keys')
  await page.getByRole('heading', { name: 'Sign in to manage API keys' }).waitFor()
  assert.equal(await seriousFindings(page), [], 'not signed in')
  const hook = await send('POST', '/webhooks', { url: receiver.url, events: ['upload.ready'] })
  const { id } = Value.Parse(Type.Object({ id: Type.String() }), await hook.json())
  await send('POST', `/webhooks/${id}/test`, {})
  await send('POST', '/keys', { scopes: ['uploads:read'], description: 'the backup' })
  await openSignedIn('/console/keys')
  for (const [path, shown] of [
    ['keys', 'the backup'],
    [`webhooks?webhook=${id}`, 'Delivered'],
    ['webhooks', receiver.url],
    ['usage', 'ada'],
    ['queues', 'half.jpg'],
  ] as const) {
    await page.goto(`${origin}/console/${path}`)
    await page.getByText(shown).first().waitFor()
    await assertAccessible(path)
  }
  await page.goto(`${origin}/console/keys`)
  for (const name of ['Create key', 'Try an upload token']) {
    await button(name).click()
    await dialog().waitFor()
    await assertAccessible(name)
    await page.keyboard.press('Escape')
  }
  assert.equal(
    errors.filter((text) => !failedResponse.test(text)),
    [],
  )
})

/** Checks what is shown with both color schemes, and in the window of a phone. */
async function assertAccessible(what: string): Promise<void> {
  for (const { colorScheme, width } of [
    { colorScheme: 'light', width: 1280 },
    { colorScheme: 'dark', width: 1280 },
    { colorScheme: 'light', width: 360 },
  ] as const) {
    await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' })
    await page.setViewportSize({ width, height: 780 })
    const findings = await seriousFindings(page, { colorsOnly: colorScheme === 'dark' })
    assert.equal(findings, [], `${what} ${colorScheme} ${width}`)
    const overflow = await page.evaluate('document.documentElement.scrollWidth - innerWidth')
    assert.is(overflow, 0, `${what} is wider than the window of ${width} px`)
  }
  await page.setViewportSize({ width: 1280, height: 780 })
}

test.run()
