import { createUploads, route, UploadRefused } from '@millrace/client/server'
import type { PhotoStore } from './photo-store.ts'

export type MillraceSettings = { origin: string; apiKey: string; webhookSecret: string }

/** What the album's users may send to Millrace, and what happens when Millrace is done with it. */
export function createPhotoUploads(
  deps: MillraceSettings & { photos: PhotoStore; userOf: (request: Request) => string | undefined },
) {
  const { photos, userOf, ...millrace } = deps
  return createUploads({
    ...millrace,
    // Also when it was erased elsewhere, for example in the console.
    onDeleted: ({ upload, user }) => user !== undefined && photos.remove(user, upload.id),
    routes: {
      photo: route({
        accept: ['image/*'],
        maxFileBytes: 50 * 1024 ** 2,
        maxFiles: 100,
        middleware({ request }) {
          const user = userOf(request)
          if (user === undefined) throw new UploadRefused('Sign in to add photos.', { status: 401 })
          return { user }
        },
        onReady({ upload, user }) {
          const { id, filename, findings } = upload
          photos.add({ id, user, title: filename, width: findings.width ?? 0, height: findings.height ?? 0 })
        },
      }),
    },
  })
}

/** The routes as a type: all that the page knows of this file. */
export type Uploads = ReturnType<typeof createPhotoUploads>
