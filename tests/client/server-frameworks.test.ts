import { EventEmitter, once } from 'node:events'
import { createServer, request as httpRequest, type Server } from 'node:http'
import { serve } from '@hono/node-server'
import { newApiKey } from '@millrace/api/credentials/api-keys.ts'
import { createRouteClient } from '@millrace/client'
import {
  createUploads,
  ensureWebhook,
  type MiddlewareArguments,
  route,
  toNodeHandler,
  UploadRefused,
} from '@millrace/client/server'
import express from 'express'
import { fastify } from 'fastify'
import { Hono } from 'hono'
import * as assert from 'uvu/assert'
import { type ApiWithWorker, startApiWithWorker } from '../support/api-with-worker.ts'
import { suite } from '../support/suite.ts'
import { samplePicture } from '../worker/support/sample-images.ts'

const test = suite('upload routes in frameworks', undefined, { limitMs: 60_000 })
const backend = newApiKey('acme', ['tokens', 'tenant'])
/** Hono's server replaces them. */
const { Request, Response } = globalThis
let system: ApiWithWorker
let picture: Uint8Array<ArrayBuffer>

test.before(async () => {
  system = await startApiWithWorker({
    API_KEYS: backend.entry,
    WEBHOOK_ALLOWED_NETWORKS: '127.0.0.1/32',
  })
  picture = new Uint8Array(await samplePicture(80, 60).png().toBuffer())
  // Workers keep a tenant's webhooks for a while, so all of them are registered before the first upload.
  for (const { start } of frameworks.values()) await start()
})
test.after(async () => {
  for (const { close } of frameworks.values()) await close()
  await system.close()
  Object.assign(globalThis, { Request, Response })
})

type Ready = { id: string; user: string; team: string }

/** The uploads of an app whose framework knows the user of a request by `userOf`. */
function createAppUploads<Context>(
  webhookSecret: string,
  onReady: (ready: Ready) => void,
  userOf: (given: MiddlewareArguments<unknown, Context>) => string | undefined,
) {
  return createUploads({
    origin: system.url,
    onError: () => {},
    apiKey: backend.key,
    webhookSecret,
    routes: {
      avatar: route({
        accept: ['image/*'],
        maxFiles: 1,
        middleware: (given: MiddlewareArguments<undefined, Context>) => {
          const user = userOf(given)
          if (user === undefined) throw new UploadRefused('Please log in.', { status: 401 })
          return { user, metadata: { team: 'red' } }
        },
        onReady: ({ upload, user, metadata }) => onReady({ id: upload.id, user, team: metadata.team }),
      }),
    },
  })
}

type Uploads<Context> = ReturnType<typeof createAppUploads<Context>>
type Handler<Context> = Uploads<Context>['handler']
type Mounted = { url: string; close(): Promise<unknown> }

/** The user in a header that stands for the app's login. */
const userOfHeader = ({ request }: MiddlewareArguments) => request.headers.get('x-login') ?? undefined

/** Waits until a server listens, and returns where the handler is. */
async function mounted(server: Server): Promise<Mounted> {
  if (!server.listening) await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('The server has no port.')
  return {
    url: `http://127.0.0.1:${address.port}/api/uploads`,
    async close() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

function mountedHono(app: Hono): Promise<Mounted> {
  const server = serve({ fetch: app.fetch, hostname: '127.0.0.1', port: 0, createServer })
  if (!('closeAllConnections' in server)) throw new Error('The server is none of node:http.')
  return mounted(server)
}

/** An app of a framework: mounts the handler, registers it as a webhook, and uploads a picture. */
function createApp<Context>(
  mount: (handler: Handler<Context>) => Mounted | Promise<Mounted>,
  userOf: (given: MiddlewareArguments<unknown, Context>) => string | undefined,
) {
  let app: Mounted | undefined
  let uploads: Uploads<Context> | undefined
  const all: Ready[] = []
  const calls = new EventEmitter()
  return {
    async start() {
      app = await mount((...parameters) => {
        if (!uploads) throw new Error('The webhook is not registered yet.')
        return uploads.handler(...parameters)
      })
      const { secret = '' } = await ensureWebhook({
        origin: system.url,
        ...{ apiKey: backend.key, url: app.url },
      })
      const onReady = (ready: Ready) => {
        all.push(ready)
        calls.emit('call')
      }
      uploads = createAppUploads(secret, onReady, userOf)
    },

    /** Uploads a picture, waits for its variants and for the callback. */
    async upload() {
      const page = (headers: Record<string, string>) =>
        createRouteClient<Uploads<Context>>({
          endpoint: app?.url ?? '',
          fetch(request) {
            for (const [name, value] of Object.entries(headers)) request.headers.set(name, value)
            return fetch(request)
          },
        })
      const file = new File([picture], 'me.png', { type: 'image/png' })
      const refused = await page({})
        .upload('avatar', file)
        .catch((error) => error)
      assert.equal([refused.status, refused.message], [401, 'Please log in.'])
      const client = page({ 'x-login': 'ada' })
      const { id } = await client.upload('avatar', file)
      const { state, variants } = await client.waitUntilFinished('avatar', id)
      assert.equal([state, variants.length], ['ready', 4])
      // The other apps' uploads are told as well.
      const own = () => all.filter((ready) => ready.id === id)
      while (own().length === 0) await once(calls, 'call')
      assert.equal(own(), [{ id, user: 'ada', team: 'red' }])
    },

    close: async () => app?.close(),
  }
}

/** Express' request, on which an authentication middleware has set the user. */
type Authenticated = express.Request & { user?: string | undefined }

const frameworks = new Map([
  [
    'plain Node',
    createApp(
      (handler: Handler<unknown>) => mounted(createServer(toNodeHandler(handler)).listen(0, '127.0.0.1')),
      userOfHeader,
    ),
  ],
  [
    'Express, whose request the middleware gets as its context',
    createApp<Authenticated>(
      (handler) => {
        const app = express()
        app.use((request: Authenticated, _response, next) => {
          request.user = request.get('x-login')
          next()
        })
        const router = express.Router()
        router.post('/uploads', toNodeHandler(handler))
        app.use('/api', router)
        app.use(express.json())
        return mounted(app.listen(0, '127.0.0.1'))
      },
      ({ context }) => context.user,
    ),
  ],
  [
    'Express with a parser that keeps the raw body',
    createApp((handler: Handler<unknown>) => {
      const app = express()
      app.use(express.raw({ type: () => true }))
      app.post('/api/uploads', toNodeHandler(handler))
      return mounted(app.listen(0, '127.0.0.1'))
    }, userOfHeader),
  ],
  [
    'Fastify',
    createApp(async (handler: Handler<unknown>) => {
      const app = fastify()
      app.register(async (scope) => {
        scope.removeAllContentTypeParsers()
        scope.addContentTypeParser('*', (_request, _payload, done) => done(null))
        scope.post('/api/uploads', (request, reply) => {
          reply.hijack()
          return toNodeHandler(handler)(request.raw, reply.raw)
        })
      })
      await app.listen({ host: '127.0.0.1', port: 0 })
      const { url } = await mounted(app.server)
      return { url, close: () => app.close() }
    }, userOfHeader),
  ],
  [
    'Hono',
    createApp((handler: Handler<unknown>) => {
      const app = new Hono()
      app.post('/api/uploads', (context) => handler(context.req.raw, context))
      return mountedHono(app)
    }, userOfHeader),
  ],
])

for (const [name, { upload }] of frameworks) {
  test(`a page sends a picture through ${name}, and its callback gets the variants`, upload)
}

/** The answer of a handler to a signed request and to one of a page, which must be the same clear error. */
async function answers({ url, close }: Mounted) {
  const post = async (path: string, headers: Record<string, string>) => {
    const response = await fetch(`${url}${path}`, {
      ...{ method: 'POST', body: '{"files":[]}' },
      headers: { 'content-type': 'application/json', ...headers },
    })
    return [response.status, JSON.parse(await response.text()).code]
  }
  try {
    return [await post('?route=avatar', {}), await post('', { 'webhook-signature': 'v1,AAAA' })]
  } finally {
    await close()
  }
}

test('a body that a parser has read before is a clear error, for pages and for webhooks', async () => {
  const { handler } = createAppUploads('', () => {}, userOfHeader)
  const clear = [
    [500, 'body_read'],
    [500, 'body_read'],
  ]
  const parsing = express()
  parsing.use(express.json())
  parsing.post('/api/uploads', toNodeHandler(handler))
  assert.equal(await answers(await mounted(parsing.listen(0, '127.0.0.1'))), clear)

  const parsingFastify = fastify()
  parsingFastify.post('/api/uploads', (request, reply) => {
    reply.hijack()
    return toNodeHandler(handler)(request.raw, reply.raw)
  })
  await parsingFastify.listen({ host: '127.0.0.1', port: 0 })
  const { url } = await mounted(parsingFastify.server)
  assert.equal(await answers({ url, close: () => parsingFastify.close() }), clear)

  const parsingHono = new Hono()
  parsingHono.use(async ({ req }, next) => {
    await req.json()
    await next()
  })
  parsingHono.post('/api/uploads', ({ req }) => handler(req.raw))
  assert.equal(await answers(await mountedHono(parsingHono)), clear)
})

test('a body that is too long is refused before it is read to its end', async () => {
  const { handler } = createAppUploads('', () => {}, userOfHeader)
  const app = await mounted(createServer(toNodeHandler(handler)).listen(0, '127.0.0.1'))
  const endless = httpRequest(app.url, { method: 'POST', headers: { 'content-type': 'application/json' } })
  endless.on('error', () => {})
  const chunk = new Uint8Array(64 * 1024)
  const write = () => {
    while (endless.writable && endless.write(chunk));
  }
  endless.on('drain', write)
  write()
  const [response] = await once(endless, 'response')
  assert.is(response.statusCode, 413)
  endless.destroy()
  await app.close()
})

test.run()
