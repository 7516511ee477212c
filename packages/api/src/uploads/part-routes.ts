import { partLimit } from '@millrace/shared/parts/part-plan.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import Type from 'typebox'
import type { CompleteUpload } from '../announcing/complete-upload.ts'
import { type MultipartUploads, partBatch } from '../announcing/multipart-uploads.ts'
import { completeBodyLimitBytes, PartEtag, PartNumber, PartUrlView } from '../announcing/part-schemas.ts'
import type { Api } from '../http/api.ts'
import { type FindOwnUpload, UploadParams } from './find-own-upload.ts'
import { UploadView, type ViewUpload } from './upload-view.ts'

const PartsToSign = Type.Object(
  { partNumbers: Type.Array(PartNumber, { minItems: 1, maxItems: partBatch, uniqueItems: true }) },
  { title: 'PartsToSign', additionalProperties: false },
)
export const SignedParts = Type.Object({ parts: Type.Array(PartUrlView) }, { title: 'SignedParts' })
const SentPart = Type.Object(
  { partNumber: PartNumber, etag: PartEtag, size: Type.Integer({ description: 'bytes' }) },
  { title: 'SentPart' },
)
export const SentParts = Type.Object(
  {
    parts: Type.Array(SentPart),
    partSize: Type.Integer({ description: 'bytes; the last part may be shorter' }),
    partCount: Type.Integer(),
  },
  { title: 'SentParts' },
)
const ClaimedParts = Type.Object(
  {
    parts: Type.Array(
      Type.Object({ partNumber: PartNumber, etag: PartEtag }, { additionalProperties: false }),
      {
        minItems: 1,
        maxItems: partLimit,
      },
    ),
  },
  { title: 'ClaimedParts', additionalProperties: false },
)

/** `/uploads/{id}/parts` and `/uploads/{id}/complete`: files that are sent in parts. */
export function partRoutes(
  api: Api,
  deps: {
    findOwnUpload: FindOwnUpload
    multipartUploads: MultipartUploads
    completeUpload: CompleteUpload
    viewUpload: ViewUpload
  },
): void {
  const { findOwnUpload, multipartUploads, completeUpload, viewUpload } = deps

  api.post(
    '/uploads/:id/parts',
    { schema: { params: UploadParams, body: PartsToSign, response: { 200: SignedParts } } },
    async (request, reply) => {
      const { upload } = await findOwnUpload(request, request.params.id)
      if (upload.state !== 'awaiting') throw new AppError('upload_closed')
      if (!upload.multipart) throw new AppError('upload_not_multipart')
      const { partNumbers } = request.body
      const { partCount } = upload.multipart
      if (partNumbers.some((partNumber) => partNumber > partCount)) {
        throw new AppError('invalid_request', {
          message: `The file has ${partCount} parts.`,
          fields: [{ field: 'partNumbers', message: `must be <= ${partCount}` }],
          limit: partCount,
        })
      }
      reply.header('cache-control', 'no-store')
      return { parts: await multipartUploads.sign(upload, upload.multipart, partNumbers) }
    },
  )

  api.get(
    '/uploads/:id/parts',
    { schema: { params: UploadParams, response: { 200: SentParts } } },
    async (request, reply) => {
      const { upload } = await findOwnUpload(request, request.params.id)
      if (upload.state !== 'awaiting') throw new AppError('upload_closed')
      if (!upload.multipart) throw new AppError('upload_not_multipart')
      reply.header('cache-control', 'no-store')
      const { partSize, partCount } = upload.multipart
      return { parts: (await multipartUploads.list(upload, upload.multipart)) ?? [], partSize, partCount }
    },
  )

  api.post(
    '/uploads/:id/complete',
    {
      bodyLimit: completeBodyLimitBytes,
      schema: { params: UploadParams, body: ClaimedParts, response: { 202: UploadView } },
    },
    async (request, reply) => {
      const { upload } = await findOwnUpload(request, request.params.id)
      reply.code(202)
      return viewUpload(await completeUpload(upload, request.body.parts), request.caller?.user)
    },
  )
}
