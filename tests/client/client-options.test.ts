import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { newApiKey } from '@millrace/api/credentials/api-keys.ts'
import { createClient, isRetryable } from '@millrace/client'
import { SignJWT } from 'jose'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../support/api-instances.ts'
import { suite } from '../support/suite.ts'

const test = suite('client options')
const backend = newApiKey('acme', ['tokens', 'act-as', 'uploads:read', 'uploads:write'])
let api: ApiInstances

test.before(async () => {
  api = await startApiInstances({ environment: { API_KEYS: backend.entry, ANONYMOUS_UPLOADS: 'off' } })
})
test.after(() => api.close())

/** What the backend does to make upload tokens of the user ada, and to revoke them. */
function tokenMaker() {
  const client = createClient({ origin: api.url, apiKey: backend.key })
  const made: { id: string; token: string }[] = []
  return {
    made,
    async make(expiresIn = 600) {
      const body = { user: 'ada', expiresIn, scopes: ['uploads:read', 'uploads:write'] as const }
      const { data } = await client.api.POST('/tokens', { body: { ...body, scopes: [...body.scopes] } })
      assert.ok(data)
      made.push(data)
      return data.token
    },
    revoke: (id: string) => client.api.DELETE('/tokens/{id}', { params: { path: { id } } }),
  }
}

/** A client whose requests are answered without a network. Records the authorization of each. */
function offlineClient(getToken: () => string | Promise<string>, respond: (token: string) => Response) {
  const sent: string[] = []
  const client = createClient({
    origin: 'https://media.example',
    getToken,
    async fetch(request) {
      const authorization = request.headers.get('authorization') ?? ''
      sent.push(authorization)
      return respond(authorization.slice('Bearer '.length))
    },
  })
  return { sent, list: () => client.api.GET('/uploads', { params: { query: { limit: 10 } } }) }
}
const emptyPage = () => Response.json({ uploads: [] })
const refusal = () => Response.json({ code: 'token_expired', detail: 'Expired.' }, { status: 401 })

/** A JWT that expires after some seconds; without them, it does not say when. */
const jwt = (seconds?: number) => {
  const token = new SignJWT({ sub: 'Ünï?>~' }).setProtectedHeader({ alg: 'HS256' })
  if (seconds !== undefined) token.setExpirationTime(Math.floor(Date.now() / 1000) + seconds)
  return token.sign(new Uint8Array(32))
}

test('getToken is called with the first request, and its token is used for all that follow', async () => {
  const maker = tokenMaker()
  const client = createClient({ origin: api.url, getToken: () => maker.make() })
  assert.is(maker.made.length, 0)
  const [one, other] = await Promise.all([
    client.upload(new Blob(['one'])),
    client.upload(new Blob(['other'])),
  ])
  assert.equal([one.user, other.user, maker.made.length], ['ada', 'ada', 1])
})

test('a revoked token is replaced once, and the request with its body is sent again', async () => {
  const maker = tokenMaker()
  const client = createClient({ origin: api.url, getToken: () => maker.make() })
  await client.upload(new Blob(['one']))
  await maker.revoke(maker.made[0]?.id ?? '')
  const uploads = await Promise.all([client.upload(new Blob(['a'])), client.upload(new Blob(['bb']))])
  assert.equal([uploads.map(({ size }) => size), maker.made.length], [[1, 2], 2])
})

test('a request is sent at most twice, and only with another token', async () => {
  for (const [tokens, expected] of [
    [
      ['a', 'b', 'c'],
      ['Bearer a', 'Bearer b'],
    ],
    [['a', 'a', 'a'], ['Bearer a']],
  ] as const) {
    const left = [...tokens]
    const { sent, list } = offlineClient(() => left.shift() ?? '', refusal)
    assert.is((await list()).response.status, 401)
    assert.equal([sent, left.length], [expected, 1])
  }
})

test('a request whose body is a file is not sent again, because its copy would stay in memory', async () => {
  const tokens = ['a', 'b']
  const client = createClient({
    origin: 'https://media.example',
    getToken: () => tokens.shift() ?? '',
    fetch: async () => refusal(),
  })
  const { response } = await client.api.POST('/upload', {
    body: 'a file',
    bodySerializer: (body) => new Blob([String(body)], { type: 'application/octet-stream' }),
    headers: { 'content-type': 'application/octet-stream' },
  })
  assert.equal([response.status, tokens], [401, ['b']])
})

test('a JWT is replaced before it expires; a token that does not say when it expires is kept', async () => {
  for (const [seconds, calls] of [
    [20, 3],
    [600, 1],
    [undefined, 1],
  ] as const) {
    let called = 0
    const getToken = () => {
      called += 1
      return jwt(seconds)
    }
    const { list } = offlineClient(getToken, emptyPage)
    for (const _ of [1, 2, 3]) await list()
    assert.is(called, calls, `expires in ${seconds} s`)
  }
  let called = 0
  const { list } = offlineClient(() => `opaque-${++called}`, emptyPage)
  for (const _ of [1, 2]) await list()
  assert.is(called, 1)
})

test('an error of getToken fails the request, and the next request calls it again', async () => {
  const reason = new Error('signed out')
  let called = 0
  const { sent, list } = offlineClient(() => {
    called += 1
    if (called === 1) throw reason
    return called === 2 ? '' : 'a'
  }, emptyPage)
  assert.is(await list().catch((error: unknown) => error), reason)
  assert.match(String(await list().catch(String)), 'getToken returned an empty text')
  assert.is((await list()).response.status, 200)
  assert.equal(sent, ['Bearer a'])
})

test('a request can be aborted while getToken is waited for', async () => {
  const client = createClient({
    origin: 'https://media.example',
    getToken: () => new Promise<string>(() => {}),
  })
  const reason = new Error('enough')
  const controller = new AbortController()
  const upload = client.upload(new Blob(['x']), { signal: controller.signal })
  controller.abort(reason)
  assert.is(await upload.catch((error: unknown) => error), reason)
})

test('a backend acts for a user with its API key', async () => {
  const client = createClient({ origin: api.url, apiKey: backend.key, user: 'Ada / ünï' })
  assert.is((await client.upload(new Blob(['x']))).user, 'Ada / ünï')
  const tenant = createClient({ origin: api.url, apiKey: backend.key })
  assert.is((await tenant.upload(new Blob(['x']))).user, undefined)
  assert.throws(
    () => createClient({ apiKey: 'a', getToken: () => 'b' }),
    /^createClient takes apiKey or getToken, not both\.$/,
  )
})

test("the API's origin can have a path, with and without a slash at its end", async () => {
  const paths: string[] = []
  // As a proxy that passes https://example.com/media/… on without the prefix.
  const proxy = createServer(async (incoming, outgoing) => {
    paths.push(incoming.url ?? '')
    const body = await new Response(incoming).text()
    const response = await fetch(new URL((incoming.url ?? '').replace('/media', ''), api.url), {
      method: incoming.method ?? 'GET',
      headers: { authorization: incoming.headers.authorization ?? '', 'content-type': 'application/json' },
      ...(body && { body }),
    })
    outgoing.writeHead(response.status, { 'content-type': 'application/json' }).end(await response.text())
  })
  await once(proxy.listen(0, '127.0.0.1'), 'listening')
  const { port } = proxy.address() as AddressInfo // of a TCP server
  try {
    for (const end of ['', '/']) {
      const client = createClient({ origin: `http://127.0.0.1:${port}/media${end}`, apiKey: backend.key })
      const { id } = await client.upload(new Blob(['x']))
      assert.equal(paths.splice(0), ['/media/uploads', `/media/uploads/${id}`])
    }
  } finally {
    proxy.closeAllConnections()
    proxy.close()
  }
})

test('without an origin, a request outside of a page fails at once', async () => {
  const error = await createClient({ apiKey: 'x' })
    .upload(new Blob(['x']))
    .catch((thrown: unknown) => thrown)
  assert.not(isRetryable(error))
  assert.match(String(error), '/uploads')
})

test.run()
