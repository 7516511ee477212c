import type { FastifyReply, FastifyRequest, onRequestHookHandler } from 'fastify'
import Type from 'typebox'
import type { Api } from '../http/api.ts'
import { weightOfType } from '../requests/accepted-types.ts'
import type { SignedUrl } from '../signing/sign-url.ts'
import { type FindOwnUpload, UploadParams } from '../uploads/find-own-upload.ts'
import { servedType } from './served-type.ts'
import type { DownloadSigner, Reader } from './sign-download.ts'

/** How long a redirect may be cached at most, in ms. */
const redirectLifeMs = 5 * 60 * 1000

const VariantParams = Type.Object({ ...UploadParams.properties, name: Type.String() })

/** The answer to a client that prefers JSON to the file. */
export const SignedDownload = Type.Object(
  {
    url: Type.String({ description: 'signed URL of S3 or CloudFront. Send no `Authorization` with it' }),
    expiresAt: Type.String({ description: 'ISO 8601' }),
  },
  { title: 'SignedDownload' },
)
const schema = { response: { 200: SignedDownload } }

/**
 * Adds `/uploads/{id}/original` and `/uploads/{id}/variants/{name}`: redirects to short-lived signed URLs of S3. A client
 * that prefers JSON to the file gets the URL instead: S3 refuses a request with a signature in the URL and
 * `Authorization`, and not all clients leave that header out after a redirect.
 *
 * @param deps.sameSitePages whether pages of other origins, but of the API's own site, may show files, for example in
 *   `<img>`. Browsers send no `Origin` then, so all pages of the site may
 */
export function downloadRoutes(
  api: Api,
  deps: { findOwnUpload: FindOwnUpload; sameSitePages: boolean; signDownload: DownloadSigner },
): void {
  const { findOwnUpload, sameSitePages, signDownload } = deps

  const onRequest: onRequestHookHandler = (_request, reply, done) => {
    // Refusals depend on neither, but caches need the same header on all responses of a URL. CORS sets `Origin` as well.
    reply.header('vary', 'Accept, Origin')
    // The default, same-origin, would make browsers block the redirect (Fetch Standard, "Cross-Origin-Resource-Policy").
    if (sameSitePages) reply.header('cross-origin-resource-policy', 'same-site')
    done()
  }

  api.get(
    '/uploads/:id/original',
    { onRequest, schema: { ...schema, params: UploadParams } },
    async (request, reply) => {
      const { upload } = await findOwnUpload(request, request.params.id)
      const type = servedType(upload.findings.detectedType)
      return respond(request, reply, type, (reader) => signDownload.original(upload, reader))
    },
  )

  api.get(
    '/uploads/:id/variants/:name',
    { onRequest, schema: { ...schema, params: VariantParams } },
    async (request, reply) => {
      const { name } = request.params
      const { upload } = await findOwnUpload(request, request.params.id)
      const type = upload.variants.find((variant) => variant.name === name)?.contentType
      return respond(request, reply, type, (reader) => signDownload.variant(upload, name, reader))
    },
  )

  /**
   * Sends the signed URL, in the form that the client prefers.
   *
   * @param type of the file
   */
  async function respond(
    { headers, method }: FastifyRequest,
    reply: FastifyReply,
    type = 'application/octet-stream',
    sign: (reader: Reader) => Promise<SignedUrl>,
  ) {
    const { accept } = headers
    const asJson = weightOfType(accept, 'application/json') > weightOfType(accept, type)
    const { url, expiresAt } = await sign({
      // Browsers send `Origin` with a GET only if a script of another origin reads the response.
      byScript: headers.origin !== undefined,
      // The client follows the redirect with the same method.
      method: method === 'HEAD' && !asJson ? 'HEAD' : 'GET',
    })
    // A redirect must not be used once its URL has expired.
    const cachedMs = Math.min(redirectLifeMs, Math.max(0, expiresAt.getTime() - Date.now()))
    reply
      .header('cache-control', `private, max-age=${Math.floor(cachedMs / 1000)}`)
      .header('referrer-policy', 'no-referrer')
    return asJson ? { url, expiresAt: expiresAt.toISOString() } : reply.redirect(url, 302)
  }
}
