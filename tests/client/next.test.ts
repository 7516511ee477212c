import { randomBytes } from 'node:crypto'
import { ListObjectsV2Command } from '@aws-sdk/client-s3'
import { newApiKey } from '@millrace/api/credentials/api-keys.ts'
import { createRouteClient } from '@millrace/client'
import { Webhook } from 'standardwebhooks'
import * as assert from 'uvu/assert'
import type { uploads } from '../fixtures/next-app/uploads.ts'
import { type ApiInstances, startApiInstances } from '../support/api-instances.ts'
import { suite } from '../support/suite.ts'
import { samplePicture } from '../worker/support/sample-images.ts'
import { startNextApp } from './support/next-app.ts'

// Most of the time is npm's and Next's.
const test = suite('upload routes in Next.js', undefined, { limitMs: 230_000 })
const isWanted = process.env['MILLRACE_TEST_NEXT'] === '1'
const backend = newApiKey('acme', ['tokens'])
const webhookSecret = `whsec_${randomBytes(24).toString('base64')}`
let api: ApiInstances
let app: Awaited<ReturnType<typeof startNextApp>>

if (isWanted) {
  test.before(async () => {
    api = await startApiInstances({ environment: { API_KEYS: backend.entry, ANONYMOUS_UPLOADS: 'off' } })
    app = await startNextApp({
      MILLRACE_ORIGIN: api.url,
      MILLRACE_API_KEY: backend.key,
      MILLRACE_WEBHOOK_SECRET: webhookSecret,
    })
  })
  test.after(async () => {
    await app?.close()
    await api.close()
  })
}

/** Declares a test that needs the app. */
function testWithNext(name: string, body: () => Promise<void>): void {
  if (isWanted) test(name, body)
  else test.skip(name, 'it downloads Next.js, 340 MB: MILLRACE_TEST_NEXT=1 runs it')
}

/** A page of the app: what a browser adds to its requests. */
function openPage(headers: Record<string, string>) {
  return createRouteClient<typeof uploads>({
    endpoint: `${app.origin}/api/uploads`,
    fetch(request) {
      for (const [name, value] of Object.entries(headers)) request.headers.set(name, value)
      return fetch(request)
    },
  })
}

/** Delivers an event as Millrace does, and returns the response's status. */
async function deliver(data: object, secret: string): Promise<number> {
  const id = `evt_${randomBytes(16).toString('hex')}`
  const sentAt = new Date()
  const body = JSON.stringify({ id, type: 'upload.ready', timestamp: sentAt.toISOString(), data })
  const response = await fetch(`${app.origin}/api/uploads`, {
    ...{ method: 'POST', body },
    headers: {
      'content-type': 'application/json',
      'webhook-id': id,
      'webhook-timestamp': String(Math.floor(sentAt.getTime() / 1000)),
      'webhook-signature': new Webhook(secret).sign(id, sentAt, body),
    },
  })
  await response.body?.cancel()
  return response.status
}

const seenByOnReady = async (): Promise<unknown> => (await fetch(`${app.origin}/api/uploads`)).json()

testWithNext('a page of a Next.js app sends a picture, and onReady gets the signed event', async () => {
  const bytes = new Uint8Array(await samplePicture(80, 60).png().toBuffer())
  const file = new File([bytes], 'me.png', { type: 'image/png' })
  const page = openPage({ cookie: 'login=ada', origin: app.origin, 'sec-fetch-site': 'same-origin' })
  const upload = await page.upload('avatar', file)
  const { user, metadata = {} } = upload
  assert.equal([user, metadata['team']], ['ada', 'red'])
  const { Contents = [] } = await api.s3.send(new ListObjectsV2Command({ Bucket: api.bucket }))
  const original = Contents.find(({ Key }) => Key?.includes(upload.id))
  assert.is(original?.Size, bytes.length)
  // No worker runs here, so the test says what one would. `stamped` is what the upload's token added.
  const variants = [{ name: 'thumbnail', contentType: 'image/webp', width: 80, height: 60, size: 900 }]
  const stamped = Object.keys(metadata)
  const event = { ...upload, stamped, state: 'ready', findings: { detectedType: 'image/png' }, variants }
  assert.is(await deliver(event, `whsec_${randomBytes(24).toString('base64')}`), 401)
  assert.equal(await seenByOnReady(), [])
  assert.is(await deliver(event, webhookSecret), 204)
  assert.equal(await seenByOnReady(), [{ id: upload.id, user: 'ada', team: 'red', variants: ['thumbnail'] }])
})

testWithNext('a Next.js app refuses who is not logged in, and pages of other sites', async () => {
  const file = new File(['a'], 'me.png', { type: 'image/png' })
  const refusalOf = async (headers: Record<string, string>) => {
    const error = await openPage(headers)
      .upload('avatar', file)
      .catch((error) => error)
    return [error.status, error.code]
  }
  assert.equal(await refusalOf({}), [401, 'refused'])
  assert.equal(await refusalOf({ cookie: 'login=ada', origin: 'https://evil.example' }), [403, 'cross_site'])
})

testWithNext('a Next.js app answers the preflight request of a page in allowedOrigins', async () => {
  const { status, headers } = await fetch(`${app.origin}/api/uploads?route=avatar`, {
    method: 'OPTIONS',
    headers: { origin: 'https://admin.example', 'access-control-request-method': 'POST' },
  })
  const allowed = ['access-control-allow-origin', 'access-control-allow-credentials']
  assert.equal([status, ...allowed.map((name) => headers.get(name))], [204, 'https://admin.example', 'true'])
})

testWithNext("the hook's page is rendered by Next.js", async () => {
  const response = await fetch(app.origin)
  assert.is(response.status, 200)
  assert.match(await response.text(), '<input type="file" accept="image/*"')
})

test.run()
