import { UploadIntent } from '@millrace/shared/uploads/upload.ts'
import Type from 'typebox'
import type { Api } from '../http/api.ts'
import { checkTokenPreset } from '../tenants/token-limits.ts'
import { type FindOwnUpload, UploadParams } from './find-own-upload.ts'
import type { ReprocessUpload } from './reprocess-upload.ts'
import { UploadView, type ViewUpload } from './upload-view.ts'

const ReprocessRequest = Type.Object(
  { preset: Type.Optional(UploadIntent.properties.preset) },
  { title: 'ReprocessRequest', additionalProperties: false },
)

/** `POST /uploads/{id}/reprocess`: processes a finished upload again. */
export function reprocessRoutes(
  api: Api,
  deps: { findOwnUpload: FindOwnUpload; reprocessUpload: ReprocessUpload; viewUpload: ViewUpload },
): void {
  const { findOwnUpload, reprocessUpload, viewUpload } = deps

  api.post(
    '/uploads/:id/reprocess',
    {
      schema: { params: UploadParams, body: ReprocessRequest, response: { 202: UploadView } },
      preValidation: async (request) => {
        // The body is optional: without one, the preset stays.
        request.body ??= {}
      },
    },
    async (request, reply) => {
      const { upload } = await findOwnUpload(request, request.params.id)
      const { preset } = request.body
      if (preset !== undefined) checkTokenPreset(request.caller, preset)
      reply.code(202)
      return viewUpload(await reprocessUpload(upload, preset), request.caller?.user)
    },
  )
}
