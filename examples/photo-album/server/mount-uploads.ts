import type { FastifyInstance } from 'fastify'

/** Mounts a web-standard handler in Fastify. */
export async function mountUploads(
  app: FastifyInstance,
  options: { path: string; origin: string; handler: (request: Request) => Promise<Response> },
): Promise<void> {
  const { path, origin, handler } = options
  // The signature of a webhook is of the body as it was sent. In a plugin, this holds for its own routes only.
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body))
  app.post<{ Body: Buffer }>(path, async (request, reply) => {
    const headers = new Headers()
    for (const [name, value] of Object.entries(request.headers)) {
      for (const each of [value ?? []].flat()) headers.append(name, each)
    }
    const { method, body } = request
    reply.send(await handler(new Request(new URL(request.url, origin), { method, headers, body })))
    return reply
  })
}
