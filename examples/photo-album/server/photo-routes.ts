import type { Client } from '@millrace/client'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { PhotoStore } from './photo-store.ts'

type PhotoParams = { Params: { id: string; variant: string } }

/** What signed-in users do with their photos. Each sees only their own. */
export async function photoRoutes(
  app: FastifyInstance,
  { photos, millraceOf }: { photos: PhotoStore; millraceOf: (user: string) => Client },
): Promise<void> {
  app.addHook('onRequest', async (request, reply) => {
    if (request.session.get('user') === undefined) return reply.code(401).send({ message: 'Sign in first.' })
  })
  const userOf = (request: FastifyRequest) => request.session.get('user') ?? ''

  app.get('/api/photos', async (request) => photos.list(userOf(request)))

  // Server-sent events: one whenever a webhook has changed the user's album.
  app.get('/api/photos/changes', (request, reply) => {
    reply.hijack()
    reply.raw.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' })
    const write = () => reply.raw.write('event: change\ndata:\n\n')
    write()
    request.raw.once('close', photos.onChange(userOf(request), write))
  })

  // An <img> sends the album's cookie and no token of Millrace. So the album checks whose photo it is, and redirects to S3.
  app.get<PhotoParams>('/photos/:id/:variant', async (request, reply) => {
    const { id, variant: name } = request.params
    const user = userOf(request)
    if (!photos.has(user, id)) return reply.callNotFound()
    const { response } = await millraceOf(user).api.GET('/uploads/{id}/variants/{name}', {
      params: { path: { id, name } },
      redirect: 'manual',
      parseAs: 'stream',
    })
    const signedUrl = response.headers.get('location')
    if (signedUrl === null) return reply.callNotFound()
    return reply.header('cache-control', 'private, no-store').redirect(signedUrl)
  })

  app.delete<PhotoParams>('/api/photos/:id', async (request, reply) => {
    const { id } = request.params
    const user = userOf(request)
    if (!photos.has(user, id)) return reply.callNotFound()
    const { response } = await millraceOf(user).api.DELETE('/uploads/{id}', { params: { path: { id } } })
    // 404: it was erased before, and the answer was lost.
    if (!response.ok && response.status !== 404)
      return reply.code(502).send({ message: 'Millrace did not erase it.' })
    photos.remove(user, id)
    return reply.code(204).send()
  })
}
