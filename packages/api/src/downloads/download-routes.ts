import type { FastifyReply, FastifyRequest, onRequestHookHandler } from 'fastify'
import Type from 'typebox'
import type { Api } from '../http/api.ts'
import { type FindOwnUpload, UploadParams } from '../uploads/find-own-upload.ts'
import { type DownloadSigner, redirectLifeSeconds } from './sign-download.ts'

const VariantParams = Type.Object({ ...UploadParams.properties, name: Type.String() })

/**
 * Adds `/uploads/{id}/original` and `/uploads/{id}/variants/{name}`: redirects to short-lived signed URLs of
 * S3.
 *
 * @param deps.sameSitePages whether pages of other origins, but of the API's own site, may show files, for example in
 *   `<img>`. Browsers send no `Origin` then, so all pages of the site may
 */
export function downloadRoutes(
  api: Api,
  deps: { findOwnUpload: FindOwnUpload; sameSitePages: boolean; signDownload: DownloadSigner },
): void {
  const { findOwnUpload, sameSitePages, signDownload } = deps

  // The default, same-origin, would make browsers block the redirect (Fetch Standard, "Cross-Origin-Resource-Policy").
  const onRequest: onRequestHookHandler = (_request, reply, done) => {
    if (sameSitePages) reply.header('cross-origin-resource-policy', 'same-site')
    done()
  }

  api.get(
    '/uploads/:id/original',
    { onRequest, schema: { params: UploadParams } },
    async (request, reply) => {
      const { upload } = await findOwnUpload(request, request.params.id)
      return redirect(reply, await signDownload.original(upload, readerOf(request)))
    },
  )

  api.get(
    '/uploads/:id/variants/:name',
    { onRequest, schema: { params: VariantParams } },
    async (request, reply) => {
      const { upload } = await findOwnUpload(request, request.params.id)
      return redirect(reply, await signDownload.variant(upload, request.params.name, readerOf(request)))
    },
  )

  /** Browsers send `Origin` with a GET only if a script of another origin reads the response. */
  function readerOf({ headers }: FastifyRequest) {
    return { byScript: headers.origin !== undefined }
  }

  function redirect(reply: FastifyReply, url: string) {
    return reply
      .header('cache-control', `private, max-age=${redirectLifeSeconds}`)
      .header('referrer-policy', 'no-referrer')
      .redirect(url, 302)
  }
}
