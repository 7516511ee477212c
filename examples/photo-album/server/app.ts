import { join } from 'node:path'
import staticFiles from '@fastify/static'
import type { Client } from '@millrace/client'
import fastify from 'fastify'
import { mountUploads } from './mount-uploads.ts'
import { photoRoutes } from './photo-routes.ts'
import type { PhotoStore } from './photo-store.ts'
import { signInRoutes } from './sign-in.ts'
import { createPhotoUploads, type MillraceSettings } from './uploads.ts'

/** The album's backend: an app with users of its own, which knows Millrace by an API key and a webhook. */
export async function createApp(deps: {
  photos: PhotoStore
  origin: string
  uploads: MillraceSettings
  /** Creates a client of Millrace that acts for a user. */
  millraceOf: (user: string) => Client
  /** Seals the session's cookie: 32 bytes. */
  sessionKey: Buffer
}) {
  const { photos, origin, millraceOf, sessionKey } = deps
  // Open pages follow their album by a response that never ends.
  const app = fastify({ logger: { level: 'warn' }, forceCloseConnections: true })
  const { userOf } = await signInRoutes(app, { sessionKey })
  const uploads = createPhotoUploads({ ...deps.uploads, photos, userOf })
  await app.register(mountUploads, { path: '/api/uploads', origin, handler: uploads.handler })
  await app.register(photoRoutes, { photos, millraceOf })
  await app.register(staticFiles, { root: join(import.meta.dirname, '../dist') })
  return app
}
