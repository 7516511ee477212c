import type { buildApp } from 'fauxqs'

/**
 * Refuses requests that are not signed with this access key, except for health checks. fauxqs itself accepts every
 * request, so any page in a browser of this machine could send, receive and delete messages.
 *
 * The signature is not verified. A page of another site cannot send an `Authorization` header without a preflight request,
 * which fauxqs does not answer, and it does not know the id of the key, which is random with `npm start`. Programs that
 * know the id can use the queue: it is in signed URLs of S3.
 */
export function requireAccessKey(app: ReturnType<typeof buildApp>, accessKeyId: string): void {
  app.addHook('onRequest', async (request, reply) => {
    const { authorization = '' } = request.headers
    if (request.url === '/health' || authorization.includes(` Credential=${accessKeyId}/`)) return
    await reply.code(403).send({
      __type: 'com.amazon.coral.service#UnrecognizedClientException',
      message: 'The security token included in the request is invalid.',
    })
  })
}
