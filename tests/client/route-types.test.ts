import { createRouteClient } from '@millrace/client'
import {
  createUploads,
  type InputSchema,
  type MiddlewareArguments,
  route,
  toNodeHandler,
} from '@millrace/client/server'
import * as assert from 'uvu/assert'
import { suite } from '../support/suite.ts'

const test = suite('types of upload routes')
declare const album: InputSchema<{ album: string }, { album: string; isShared: boolean }>

/** Never called: `npm run check` compiles it, and each expected error must be one. */
function declareRoutes() {
  const uploads = createUploads({
    ...{ origin: 'https://media.example', apiKey: undefined, webhookSecret: undefined },
    routes: {
      avatar: route({
        middleware: async ({ request }) => ({
          user: request.url,
          metadata: { team: 'red', note: noteOf(request) },
        }),
        onReady({ upload, user, metadata }) {
          const texts: [string, string, string | undefined] = [user, metadata.team, metadata.note]
          const widths: (number | undefined)[] = upload.variants.map(({ width }) => width)
          // @ts-expect-error the middleware returned no such name
          return [texts, widths, metadata.taem]
        },
        // @ts-expect-error only a rejected upload has a reason
        onFailed: ({ upload, metadata }) => [upload.reason, metadata.team],
      }),
      plain: route({
        middleware: () => ({ user: 'ada' }),
        // @ts-expect-error the middleware returned no metadata
        onReady: ({ metadata }) => metadata.team,
      }),
      photos: route({
        input: album,
        middleware: ({ input }) => ({ user: 'ada', metadata: { album: input.album } }),
        onRejected: ({ upload, metadata }) => [upload.error.code, metadata.album],
      }),
      // @ts-expect-error metadata is texts
      counted: route({ middleware: () => ({ user: 'ada', metadata: { count: 1 } }) }),
      // @ts-expect-error a user is required
      anonymous: route({ middleware: () => ({ metadata: { team: 'red' } }) }),
    },
  })

  const client = createRouteClient<typeof uploads>({ endpoint: '/api/uploads' })
  const file = new Blob([])
  client.startUpload('avatar', file)
  client.upload('avatar', file, { metadata: { caption: 'me' } })
  client.upload('photos', file, { input: { album: 'summer' } })
  client.startUploads('photos', [file], { input: { album: 'summer' } })
  client.waitUntilFinished('photos', 'id', { input: { album: 'summer' } })
  // @ts-expect-error no such route
  client.upload('avatars', file)
  // @ts-expect-error the route decides the preset
  client.upload('avatar', file, { preset: 'large' })
  // @ts-expect-error the route needs input
  client.upload('photos', file)
  // @ts-expect-error the input is another
  client.upload('photos', file, { input: { album: 1 } })
  // @ts-expect-error no such route
  client.waitUntilFinished('avatars', 'id')

  // Next.js calls it with the route's parameters as well, other frameworks with the request only.
  const next: (request: Request, context: { params: Promise<object> }) => Promise<Response> = uploads.handler
  const plain: (request: Request) => Promise<Response> = uploads.handler
  return [next, plain]
}

/** Routes whose middleware needs the framework's request. */
function declareContexts() {
  type Session = { session: { user: string } }
  const withSession = createUploads({
    ...{ origin: 'https://media.example', apiKey: undefined, webhookSecret: undefined },
    routes: {
      avatar: route({
        middleware: ({ context }: MiddlewareArguments<undefined, Session>) => ({
          user: context.session.user,
        }),
      }),
      plain: route({ middleware: () => ({ user: 'ada' }) }),
    },
  })
  // @ts-expect-error the middleware needs the session
  withSession.handler(new Request('https://app.example'))
  const handler = toNodeHandler(withSession.handler)
  return (...[request, response]: Parameters<typeof handler>) => {
    const { user } = request.session
    return [user, handler(request, response)]
  }
}

function noteOf(request: Request): string | undefined {
  return request.headers.get('note') ?? undefined
}

test('routes, their input, metadata and context are known by type', () => {
  assert.type(declareRoutes, 'function')
  assert.type(declareContexts, 'function')
})

test.run()
