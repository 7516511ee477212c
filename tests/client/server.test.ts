import { randomBytes } from 'node:crypto'
import { newApiKey } from '@millrace/api/credentials/api-keys.ts'
import { createClient, createRouteClient, type Fetch, RouteError } from '@millrace/client'
import { createUploads, ensureWebhook, type InputSchema, route, UploadRefused } from '@millrace/client/server'
import { decodeJwt } from 'jose'
import { Webhook } from 'standardwebhooks'
import * as assert from 'uvu/assert'
import { openRouteSession } from '../../packages/client/src/routes/route-session.ts'
import type { DeclaredFile, GrantRequest } from '../../packages/client/src/routes/upload-grant.ts'
import { type ApiInstances, startApiInstances } from '../support/api-instances.ts'
import { suite } from '../support/suite.ts'

const test = suite('upload routes of a backend')
const MiB = 1024 ** 2
const backend = newApiKey('acme', ['tokens', 'tenant'])
const endpoint = 'https://app.example/api/uploads'
const webhookSecret = `whsec_${randomBytes(24).toString('base64')}`
let api: ApiInstances

test.before(async () => {
  api = await startApiInstances({ environment: { API_KEYS: backend.entry, ANONYMOUS_UPLOADS: 'off' } })
})
test.after(() => api.close())

/** What a person logged in as sends, in this app. */
const asAda = { cookie: 'login=ada' }

/** A schema without a library. */
const albumSchema: InputSchema<{ album: string }, { album: string }> = {
  '~standard': {
    ...{ version: 1, vendor: 'test' },
    validate: (value) =>
      typeof value === 'object' && value !== null && 'album' in value && typeof value.album === 'string'
        ? { value: { album: value.album } }
        : { issues: [{ message: 'album is missing' }] },
  },
}

/** An app's backend with three routes, and what its callbacks and its middleware saw. */
function createBackend(options: { tokenSeconds?: number; fetch?: Fetch; allowedOrigins?: string[] } = {}) {
  const calls: unknown[][] = []
  const errors: unknown[] = []
  const renewals: boolean[] = []
  const uploads = createUploads({
    ...{ origin: api.url, apiKey: backend.key, webhookSecret },
    ...options,
    onError: (error) => errors.push(error),
    onDeleted: ({ upload, user, eventId }) => calls.push(['deleted', upload.id, user, eventId]),
    routes: {
      avatar: route({
        accept: ['image/*'],
        maxFileBytes: MiB,
        maxFiles: 1,
        middleware: ({ request }) => {
          const [, user] = /login=(\w+)/.exec(request.headers.get('cookie') ?? '') ?? []
          if (user === undefined) throw new UploadRefused('Please log in.', { status: 401 })
          if (user === 'eve') throw new UploadRefused('Your account is closed.')
          if (user === 'bug') throw new Error('postgres://secret')
          return { user, metadata: { team: 'red', note: undefined } }
        },
        onReady: ({ upload, user, metadata, eventId }) => {
          if (metadata.team === 'broken') throw new Error('The database is down.')
          calls.push(['ready', upload.id, user, metadata, eventId])
        },
        onRejected: ({ upload, metadata }) => calls.push(['rejected', upload.error.code, metadata]),
        onFailed: ({ upload }) => calls.push(['failed', upload.error.code]),
      }),
      files: route({
        maxFiles: 2,
        middleware: async ({ isRenewal }) => {
          renewals.push(isRenewal)
          return { user: 'ada' }
        },
      }),
      album: route({
        input: albumSchema,
        middleware: ({ input }) => ({ user: 'ada', metadata: { album: input.album } }),
      }),
    },
  })
  return { uploads, calls, errors, renewals }
}

type Uploads = ReturnType<typeof createBackend>['uploads']

/** A page of the app. Records the bodies of its requests to the backend. */
function openPage(uploads: Uploads, headers: Record<string, string> = asAda) {
  const asked: { files: unknown[]; renew?: boolean }[] = []
  const client = createRouteClient<Uploads>({
    endpoint,
    async fetch(request) {
      asked.push(JSON.parse(await request.clone().text()))
      for (const [name, value] of Object.entries(headers)) request.headers.set(name, value)
      return uploads.handler(request)
    },
  })
  return { ...client, asked }
}

/** Sends a request to the handler, and returns the status and the body. */
async function ask(
  { handler }: Uploads,
  path: string,
  body: unknown = { files: [{ filename: 'a.png', contentType: 'image/png', size: 10 }] },
  init: { method?: string; headers?: Record<string, string> } = {},
) {
  const { method = 'POST', headers } = init
  const response = await handler(
    new Request(`${endpoint}${path}`, {
      method,
      headers: { 'content-type': 'application/json', ...asAda, ...headers },
      ...(method === 'POST' && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    }),
  )
  const text = await response.text()
  return { status: response.status, headers: response.headers, body: text === '' ? '' : JSON.parse(text) }
}

const outcomeOf = ({ status, body }: Awaited<ReturnType<typeof ask>>) => [status, body.code, body.detail]

/** Sends an event to the handler, as Millrace signs it. */
async function deliver(
  { handler }: Uploads,
  content: { type: string; data: object; test?: true },
  body?: string,
) {
  const id = 'evt_1'
  const event = JSON.stringify({ id, timestamp: new Date().toISOString(), ...content })
  const sentAt = new Date()
  const response = await handler(
    new Request(endpoint, {
      method: 'POST',
      body: body ?? event,
      headers: {
        'content-type': 'application/json',
        'webhook-id': id,
        'webhook-timestamp': String(Math.floor(sentAt.getTime() / 1000)),
        'webhook-signature': new Webhook(webhookSecret).sign(id, sentAt, event),
      },
    }),
  )
  return response.status
}

/** An upload of the route avatar, as its event tells. */
const avatar = {
  ...{ id: '019ac6b0-0000-7000-8000-000000000000', user: 'ada', state: 'ready', filename: 'a.png' },
  metadata: { team: 'red', caption: 'me', 'millrace-route': 'avatar' },
  stamped: ['team', 'millrace-route'],
}

test('a page gets a token for the files that it declares, within the limits of the route', async () => {
  const { uploads } = createBackend()
  const { status, body, headers } = await ask(uploads, '?route=avatar')
  assert.is(status, 200)
  assert.is(headers.get('cache-control'), 'no-store')
  const { token, expiresAt, ...rest } = body
  const limits = { accept: ['image/*'], maxFileBytes: MiB, maxFiles: 1 }
  assert.equal(rest, { origin: api.url, limits })
  const claims = decodeJwt(token)
  assert.is((claims.exp ?? 0) - (claims.iat ?? 0), 900)
  assert.is(new Date((claims.exp ?? 0) * 1000).toISOString(), expiresAt)
  assert.equal([claims['tenant'], claims.sub], ['acme', 'ada'])
  assert.equal(claims['limits'], {
    ...{ accept: ['image/*'], maxFileBytes: MiB, presets: ['default'] },
    ...{ maxFiles: 1, maxBytes: 10 },
  })
  assert.equal(claims['metadata'], { team: 'red', 'millrace-route': 'avatar' })
})

test('UploadRefused tells the page why, and any other error of the middleware tells it nothing', async () => {
  const { uploads, errors } = createBackend()
  const askAs = async (cookie: string) =>
    outcomeOf(await ask(uploads, '?route=avatar', undefined, { headers: { cookie } }))
  assert.equal(await askAs(''), [401, 'refused', 'Please log in.'])
  assert.equal(await askAs('login=eve'), [403, 'refused', 'Your account is closed.'])
  assert.equal(errors, [])
  assert.equal(await askAs('login=bug'), [500, 'failed', 'The upload could not be prepared.'])
  assert.equal(errors.map(String), ['Error: postgres://secret'])

  const refused = await openPage(uploads, {})
    .upload('avatar', new File(['a'], 'a.png', { type: 'image/png' }))
    .catch((error) => error)
  assert.instance(refused, RouteError)
  assert.equal([refused.status, refused.code, refused.message], [401, 'refused', 'Please log in.'])
})

test('files beyond the limits of the route, and requests of another form, are refused', async () => {
  const { uploads } = createBackend()
  const file = { filename: 'a.png', contentType: '', size: 1 }
  const refusals: [string, unknown, number, string][] = [
    ['?route=avatar', { files: [file, file] }, 400, 'too_many_files'],
    ['?route=avatar', { files: [{ ...file, size: MiB + 1 }] }, 413, 'file_too_large'],
    ['?route=avatar', { files: [] }, 400, 'request_invalid'],
    ['?route=avatar', { files: [{ ...file, size: -1 }] }, 400, 'request_invalid'],
    ['?route=avatar', { files: [{ ...file, filename: 1 }] }, 400, 'request_invalid'],
    ['?route=avatar', { files: 'a' }, 400, 'request_invalid'],
    ['?route=avatar', 'null', 400, 'request_invalid'],
    ['?route=avatar', '{', 400, 'request_invalid'],
    ['?route=avatar', `"${'a'.repeat(MiB)}"`, 413, 'request_invalid'],
    ['?route=constructor', { files: [file] }, 404, 'route_unknown'],
    ['', { files: [file] }, 400, 'request_invalid'],
    ['?route=album', { files: [file], input: { album: 1 } }, 400, 'input_invalid'],
  ]
  for (const [path, body, status, code] of refusals) {
    const answer = await ask(uploads, path, body)
    assert.equal(
      [answer.status, answer.body.code],
      [status, code],
      `${path} ${JSON.stringify(body).slice(0, 60)}`,
    )
  }
  const form = await ask(uploads, '?route=avatar', undefined, {
    headers: { 'content-type': 'text/plain' },
  })
  assert.equal([form.status, form.body.code], [415, 'request_invalid'])
  const get = await ask(uploads, '?route=avatar', undefined, { method: 'GET' })
  assert.equal([get.status, get.headers.get('allow')], [405, 'POST'])
})

test('pages of other origins get no token, unless allowedOrigins has their origin', async () => {
  const { uploads } = createBackend({ allowedOrigins: ['https://www.example'] })
  const statusOf = async (headers: Record<string, string>) =>
    (await ask(uploads, '?route=avatar', undefined, { headers })).status
  const own = 'https://app.example'
  assert.is(await statusOf({ 'sec-fetch-site': 'same-origin', origin: own }), 200)
  assert.is(await statusOf({ origin: own }), 200)
  assert.is(await statusOf({ origin: 'https://app.example:8443' }), 403)
  assert.is(await statusOf({ origin: 'null' }), 403)
  assert.is(await statusOf({ 'sec-fetch-site': 'same-site', origin: 'https://evil.example' }), 403)
  assert.is(await statusOf({ 'sec-fetch-site': 'cross-site', origin: own }), 403)

  const crossSite = { 'sec-fetch-site': 'cross-site', origin: 'https://www.example' }
  const allowed = await ask(uploads, '?route=avatar', undefined, { headers: crossSite })
  const cors = (headers: Headers) =>
    ['origin', 'credentials', 'headers'].map((name) => headers.get(`access-control-allow-${name}`))
  assert.equal([allowed.status, ...cors(allowed.headers)], [200, 'https://www.example', 'true', null])
  const refused = await ask(uploads, '?route=avatar', undefined, { headers: { ...crossSite, cookie: '' } })
  assert.equal([refused.status, ...cors(refused.headers)], [401, 'https://www.example', 'true', null])
  const preflight = { 'access-control-request-headers': 'content-type,x-csrf' }
  const asking = await ask(uploads, '?route=avatar', undefined, {
    method: 'OPTIONS',
    headers: { ...crossSite, ...preflight },
  })
  assert.equal(
    [asking.status, ...cors(asking.headers)],
    [204, 'https://www.example', 'true', 'content-type,x-csrf'],
  )
  const other = await ask(uploads, '?route=avatar', undefined, {
    method: 'OPTIONS',
    headers: { origin: 'https://evil.example', ...preflight },
  })
  assert.equal([other.status, ...cors(other.headers)], [204, null, null, null])
})

test('the page sends several files with one request to the backend, which counts them together', async () => {
  const { uploads } = createBackend()
  const page = openPage(uploads)
  const files = ['a', 'b', 'c'].map((text) => new File([text], `${text}.txt`, { type: 'text/plain' }))
  const sent = await Promise.all(page.startUploads('files', files.slice(0, 2)).map((task) => task.sent))
  assert.equal(
    sent.map(({ filename, metadata }) => [filename, metadata]),
    [
      ['a.txt', { 'millrace-route': 'files' }],
      ['b.txt', { 'millrace-route': 'files' }],
    ],
  )
  assert.is(page.asked.length, 1)
  const refused = await Promise.allSettled(page.startUploads('files', files).map((task) => task.sent))
  assert.equal(
    refused.map((result) => (result.status === 'rejected' ? result.reason.code : 'sent')),
    ['too_many_files', 'too_many_files', 'too_many_files'],
  )
})

test('a token is renewed while a file is sent, and a renewed token allows no further files', async () => {
  // The page renews a token half a minute before it expires, so here with each request.
  const { uploads, renewals } = createBackend({ tokenSeconds: 20 })
  const page = openPage(uploads)
  const large = new File([new Uint8Array(9 * MiB)], 'large.bin')
  const task = page.startUpload('files', large)
  const { id, size } = await task.sent
  assert.equal([task.id, task.state, size], [id, 'sent', 9 * MiB])
  assert.equal(renewals, [false, true])

  const { body: renewed } = await ask(uploads, '?route=files', { files: [], renew: true })
  const bearer = createClient({ origin: api.url, getToken: () => renewed.token })
  assert.is((await bearer.api.GET('/uploads/{id}', { params: { path: { id } } })).response.status, 200)
  const { error } = await bearer.api.POST('/uploads', {
    body: { filename: 'b', contentType: 'text/plain', size: 1 },
  })
  assert.is(error?.code, 'token_used_up')
})

test('a file that is announced after the token was renewed gets a token of its own', async () => {
  const { uploads } = createBackend({ tokenSeconds: 20 })
  const asked: GrantRequest[] = []
  const request = async (body: GrantRequest) => {
    asked.push(body)
    return (await ask(uploads, '?route=files', body)).body
  }
  const a = { filename: 'a', contentType: 'text/plain', size: 1 }
  const b = { ...a, filename: 'b' }
  const { api: session } = await openRouteSession(request, [a, b])
  const announce = async (file: DeclaredFile) =>
    (await session.POST('/uploads', { body: { ...file, metadata: { caption: 'x' } } })).response.status
  assert.equal([await announce(a), await announce(b)], [201, 201])
  assert.equal(asked, [{ files: [a, b] }, { files: [a, b], renew: true }, { files: [b] }])
})

test('a file can be paused and aborted while the backend is asked', async () => {
  const { uploads } = createBackend()
  const asked = Promise.withResolvers<void>()
  const answer = Promise.withResolvers<void>()
  const page = createRouteClient<Uploads>({
    endpoint,
    async fetch(request) {
      asked.resolve()
      await answer.promise
      return uploads.handler(request)
    },
  })
  const file = new File(['a'], 'a.txt')
  const [paused, aborted] = page.startUploads('files', [file, new File(['b'], 'b.txt')])
  assert.ok(paused && aborted)
  paused.pause()
  assert.is(paused.state, 'paused')
  await asked.promise
  const reason = new Error('The user went away.')
  await aborted.abort(reason)
  assert.is(await aborted.sent.catch((error) => error), reason)
  assert.is(aborted.state, 'aborted')
  const signal = AbortSignal.abort(reason)
  const stopped = page.startUpload('files', file, { signal })
  assert.is(await stopped.sent.catch((error) => error), reason)
  answer.resolve()
  paused.resume()
  assert.is((await paused.sent).filename, 'a.txt')
  assert.equal([aborted.id, stopped.id, stopped.state], [undefined, undefined, 'aborted'])
})

test('a page that was opened again continues an upload and waits for it with a token that allows no further files', async () => {
  const { uploads, renewals } = createBackend()
  const parts = new File([new Uint8Array(9 * MiB)], 'large.bin')
  const stop = new AbortController()
  const first = openPage(uploads).startUpload('files', parts, {
    signal: stop.signal,
    onAnnounced: () => stop.abort(),
  })
  await first.sent.catch(() => {})
  const { id } = first
  assert.ok(id)
  const reopened = openPage(uploads)
  const upload = await reopened.upload('files', parts, { resume: id })
  assert.equal([upload.id, upload.state === 'awaiting'], [id, false])
  assert.equal(renewals, [false, true])

  const last = openPage(uploads)
  const waiting = new AbortController()
  const waited = last.waitUntilFinished('files', id, {
    signal: waiting.signal,
    onChange: () => waiting.abort(),
  })
  await waited.catch(() => {})
  assert.is(waiting.signal.aborted, true)
  assert.equal(last.asked, [{ files: [], renew: true }])
})

test('a route gets the input that its schema describes', async () => {
  const page = openPage(createBackend().uploads)
  const { metadata } = await page.upload('album', new File(['a'], 'a.txt'), {
    input: { album: 'summer' },
    metadata: { album: 'forged', caption: 'sea' },
  })
  assert.equal(metadata, { album: 'summer', caption: 'sea', 'millrace-route': 'album' })
})

test('a Millrace that does not answer is 503, and one that refuses the API key is 500', async () => {
  const down = createBackend({ fetch: () => Promise.reject(new TypeError('fetch failed')) })
  assert.equal(outcomeOf(await ask(down.uploads, '?route=files')).slice(0, 2), [503, 'unavailable'])
  const [error] = down.errors
  assert.ok(error instanceof Error && error.cause instanceof TypeError)
  const denied = createBackend({
    fetch: (request) => {
      request.headers.set('authorization', 'Bearer wrong')
      return fetch(request)
    },
  })
  assert.equal(outcomeOf(await ask(denied.uploads, '?route=files')).slice(0, 2), [500, 'failed'])
  assert.match(String(denied.errors[0]), 'ApiProblem')
})

test('events call the callback of their route with what its middleware returned', async () => {
  const { uploads, calls } = createBackend()
  assert.is(await deliver(uploads, { type: 'upload.ready', data: avatar }), 204)
  const error = { code: 'unsupported_type', message: 'no' }
  await deliver(uploads, { type: 'upload.rejected', data: { ...avatar, state: 'rejected', error } })
  await deliver(uploads, { type: 'upload.failed', data: { ...avatar, state: 'failed', error } })
  await deliver(uploads, { type: 'upload.deleted', data: { id: avatar.id, user: 'ada', state: 'deleted' } })
  assert.equal(calls, [
    ['ready', avatar.id, 'ada', { team: 'red' }, 'evt_1'],
    ['rejected', 'unsupported_type', { team: 'red' }],
    ['failed', 'unsupported_type'],
    ['deleted', avatar.id, 'ada', 'evt_1'],
  ])
})

test('events of uploads that came another way are ignored, also if they name a route', async () => {
  const { uploads, calls } = createBackend()
  const ignored = [
    { ...avatar, stamped: undefined },
    { ...avatar, stamped: ['team'] },
    { ...avatar, metadata: { 'millrace-route': 'gone' } },
    { ...avatar, metadata: { 'millrace-route': 'toString' } },
    { ...avatar, metadata: undefined, stamped: undefined },
    { ...avatar, user: undefined },
  ]
  for (const data of ignored) assert.is(await deliver(uploads, { type: 'upload.ready', data }), 204)
  assert.is(await deliver(uploads, { type: 'upload.ready', data: avatar, test: true }), 204)
  assert.is(await deliver(uploads, { type: 'upload.received', data: avatar }), 204)
  assert.is(await deliver(uploads, { type: 'upload.shared', data: avatar }), 204)
  assert.equal(calls, [])
})

test('an error of a callback is 500, so that Millrace delivers again, and a wrong signature is 401', async () => {
  const { uploads, calls, errors } = createBackend()
  const broken = { ...avatar, metadata: { ...avatar.metadata, team: 'broken' } }
  assert.is(await deliver(uploads, { type: 'upload.ready', data: broken }), 500)
  assert.equal(errors.map(String), ['Error: The database is down.'])
  const event = { type: 'upload.ready', data: avatar }
  assert.is(await deliver(uploads, event, JSON.stringify({ ...event, id: 'evt_1' })), 401)
  assert.equal(calls, [])
})

test('a request whose body was read before is an error that says so', async () => {
  const { uploads, errors } = createBackend()
  const request = new Request(`${endpoint}?route=avatar`, {
    ...{ method: 'POST', body: '{"files":[]}' },
    headers: { 'content-type': 'application/json', 'webhook-signature': 'v1,' },
  })
  await request.json()
  const response = await uploads.handler(request)
  assert.is(response.status, 500)
  assert.match(JSON.parse(await response.text()).detail, 'read before')
  assert.is(errors.length, 1)
})

test('ensureWebhook registers the handler once, and enables it again', async () => {
  const options = { origin: api.url, apiKey: backend.key, url: 'https://app.example/hook' }
  const first = await ensureWebhook(options)
  assert.match(first.secret ?? '', /^whsec_/)
  const client = createClient({ origin: api.url, apiKey: backend.key })
  const path = { id: first.id }
  const body = { enabled: false, events: ['upload.received' as const] }
  await client.api.PATCH('/webhooks/{id}', { params: { path }, body })
  assert.equal(await ensureWebhook(options), { id: first.id, secret: undefined })
  const { data } = await client.api.GET('/webhooks')
  assert.equal(
    data?.webhooks.map(({ enabled, events }) => [enabled, events.length]),
    [[true, 5]],
  )
})

test.run()
