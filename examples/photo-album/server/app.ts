import { join } from 'node:path'
import staticFiles from '@fastify/static'
import type { Client } from '@millrace/client'
import { toNodeHandler } from '@millrace/client/server'
import fastify from 'fastify'
import { photoRoutes } from './photo-routes.ts'
import type { PhotoStore } from './photo-store.ts'
import { signInRoutes } from './sign-in.ts'
import { createPhotoUploads, type MillraceSettings } from './uploads.ts'

/** The album's backend: an app with users of its own, which knows Millrace by an API key and a webhook. */
export async function createApp(deps: {
  photos: PhotoStore
  uploads: MillraceSettings
  /** Creates a client of Millrace that acts for a user. */
  millraceOf: (user: string) => Client
  /** Seals the session's cookie: 32 bytes. */
  sessionKey: Buffer
}) {
  const { photos, millraceOf, sessionKey } = deps
  // Open pages follow their album by a response that never ends.
  const app = fastify({ logger: { level: 'warn' }, forceCloseConnections: true })
  const { userOf } = await signInRoutes(app, { sessionKey })
  const uploads = createPhotoUploads({ ...deps.uploads, photos, userOf })
  await app.register(async (scope) => {
    // The handler reads the body itself: the signature of a webhook covers its bytes.
    scope.removeAllContentTypeParsers()
    scope.addContentTypeParser('*', (_request, _body, done) => done(null))
    const handle = toNodeHandler(uploads.handler)
    scope.post('/api/uploads', (request, reply) => {
      reply.hijack()
      return handle(request.raw, reply.raw)
    })
  })
  await app.register(photoRoutes, { photos, millraceOf })
  await app.register(staticFiles, { root: join(import.meta.dirname, '../dist') })
  return app
}
