import type { FastifyReply } from 'fastify'
import Type from 'typebox'
import type { Api } from '../http/api.ts'
import { type FindOwnUpload, UploadParams } from '../uploads/find-own-upload.ts'
import { type DownloadSigner, redirectLifeSeconds } from './sign-download.ts'

const VariantParams = Type.Object({ ...UploadParams.properties, name: Type.String() })

/**
 * Adds `/uploads/{id}/original` and `/uploads/{id}/variants/{name}`: redirects to short-lived signed URLs of
 * S3.
 */
export function downloadRoutes(
  api: Api,
  deps: { findOwnUpload: FindOwnUpload; signDownload: DownloadSigner },
): void {
  const { findOwnUpload, signDownload } = deps

  api.get('/uploads/:id/original', { schema: { params: UploadParams } }, async (request, reply) => {
    const { upload } = await findOwnUpload(request, request.params.id)
    return redirect(reply, await signDownload.original(upload))
  })

  api.get('/uploads/:id/variants/:name', { schema: { params: VariantParams } }, async (request, reply) => {
    const { upload } = await findOwnUpload(request, request.params.id)
    return redirect(reply, await signDownload.variant(upload, request.params.name))
  })

  function redirect(reply: FastifyReply, url: string) {
    return reply
      .header('cache-control', `private, max-age=${redirectLifeSeconds}`)
      .header('referrer-policy', 'no-referrer')
      .redirect(url, 302)
  }
}
