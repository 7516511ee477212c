import { originalKey } from '@millrace/shared/ledger/object-keys.ts'
import type { EraseUpload } from '@millrace/shared/lifecycle/erase-upload.ts'
import { partLimit, planUppyParts, uppyFormLimitBytes } from '@millrace/shared/parts/part-plan.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import { type OpenMultipart, openUploadLifeMs, type Upload } from '@millrace/shared/uploads/upload.ts'
import type { FastifyRequest } from 'fastify'
import Type from 'typebox'
import type { AdmitUpload } from '../announcing/admit-upload.ts'
import type { CompleteUpload } from '../announcing/complete-upload.ts'
import type { MultipartUploads } from '../announcing/multipart-uploads.ts'
import { completeBodyLimitBytes, PartEtag, PartNumber } from '../announcing/part-schemas.ts'
import type { Api } from '../http/api.ts'
import { budgetHolder } from '../identity/budget-holder.ts'
import type { RequestOwner } from '../identity/request-owner.ts'
import { traceOf } from '../requests/traceparent.ts'
import { type FormSigner, formLifeMs } from '../signing/sign-form.ts'
import type { Signing } from '../signing/signing.ts'
import { type FindOwnUpload, UploadParams } from '../uploads/find-own-upload.ts'
import { UppyFile, uppyFileOfQuery, uppyIntent } from './uppy-file.ts'

const UppyParts = Type.Object({
  parts: Type.Array(Type.Object({ PartNumber, ETag: PartEtag }), { minItems: 1, maxItems: partLimit }),
})
/** Uppy sends the object's key beside our upload id. It is not read. */
const UppyQuery = Type.Object({ key: Type.Optional(Type.String()) })
const PartParams = Type.Object({ ...UploadParams.properties, partNumber: PartNumber })

/**
 * `/uppy/s3/…`: the part of Companion's S3 protocol that `@uppy/aws-s3` uses (docs/uppy.md). The protocol's
 * `uploadId` is our upload id; the upload must belong to the owner who sent the request. The protocol's `key`
 * is returned to Uppy, but never read from a request.
 *
 * @param deps.publicUrl the API's origin as browsers see it, and its path
 */
export function uppyRoutes(
  api: Api,
  deps: {
    owner: RequestOwner
    findOwnUpload: FindOwnUpload
    admitUpload: AdmitUpload
    signForm: FormSigner
    signatureLifeMs: Signing['signatureLifeMs']
    multipartUploads: MultipartUploads
    completeUpload: CompleteUpload
    eraseUpload: EraseUpload
    publicUrl: string
  },
): void {
  const { owner, findOwnUpload, admitUpload, multipartUploads, completeUpload } = deps
  api.addHook('onRequest', async (_request, reply) => {
    reply.header('cache-control', 'no-store')
  })

  // This GET creates an upload, so it requires the same as a POST: the write scope, and a page of this
  // origin.
  api.get(
    '/uppy/s3/params',
    {
      config: { scope: 'uploads:write' },
      exposeHeadRoute: false,
      schema: { querystring: Type.Record(Type.String(), Type.String()) },
    },
    async (request) => {
      const intent = { ...uppyIntent(uppyFileOfQuery(request.query)), ...traceOf(request) }
      if (intent.size > uppyFormLimitBytes) {
        throw new AppError('upload_too_large', {
          message: `A file of more than ${uppyFormLimitBytes} bytes must be sent in parts: use Uppy's default shouldUseMultipart.`,
          limit: uppyFormLimitBytes,
        })
      }
      return admitUpload(await holderOf(request), intent, {
        lifeMs: await deps.signatureLifeMs(formLifeMs),
        async begin(upload) {
          const { url, fields } = await deps.signForm(upload, upload.intent)
          return { method: 'POST', url, fields }
        },
      })
    },
  )

  api.post('/uppy/s3/multipart', { schema: { body: UppyFile } }, async (request) => {
    const intent = { ...uppyIntent(request.body), ...traceOf(request) }
    return admitUpload(await holderOf(request), intent, {
      lifeMs: openUploadLifeMs,
      plan: planUppyParts(intent.size),
      begin: async (upload) => ({ uploadId: upload.id, key: originalKey(upload) }),
    })
  })

  api.get(
    '/uppy/s3/multipart/:id',
    { schema: { params: UploadParams, querystring: UppyQuery } },
    async (request) => {
      const { upload, multipart } = await findOpenUpload(request, request.params.id)
      const parts = (await multipartUploads.list(upload, multipart)) ?? []
      return parts.map(({ partNumber, etag, size }) => ({ PartNumber: partNumber, ETag: etag, Size: size }))
    },
  )

  api.get(
    '/uppy/s3/multipart/:id/:partNumber',
    {
      config: { scope: 'uploads:write' },
      schema: { params: PartParams, querystring: UppyQuery },
    },
    async (request) => {
      const { id, partNumber } = request.params
      const { upload, multipart } = await findOpenUpload(request, id)
      if (partNumber > multipart.partCount) {
        throw new AppError('invalid_request', { message: `The file has ${multipart.partCount} parts.` })
      }
      const [part] = await multipartUploads.sign(upload, multipart, [partNumber])
      return { url: part?.url }
    },
  )

  api.post(
    '/uppy/s3/multipart/:id/complete',
    {
      bodyLimit: completeBodyLimitBytes,
      schema: { params: UploadParams, querystring: UppyQuery, body: UppyParts },
    },
    async (request) => {
      const { upload } = await findOwnUpload(request, request.params.id)
      const parts = request.body.parts.map(({ PartNumber, ETag }) => ({ partNumber: PartNumber, etag: ETag }))
      await completeUpload(upload, parts)
      return { location: `${deps.publicUrl}/uploads/${upload.id}`, key: originalKey(upload) }
    },
  )

  api.delete(
    '/uppy/s3/multipart/:id',
    { schema: { params: UploadParams, querystring: UppyQuery } },
    async (request) => {
      const { upload } = await findOpenUpload(request, request.params.id)
      await deps.eraseUpload(upload)
      return {}
    },
  )

  async function holderOf(request: FastifyRequest) {
    return budgetHolder(request, await owner.findOrCreate(request))
  }

  /**
   * Finds an upload whose multipart upload is open.
   *
   * @throws AppError `upload_not_found`, `upload_closed`, `upload_not_multipart`
   */
  async function findOpenUpload(
    request: FastifyRequest,
    id: string,
  ): Promise<{ upload: Upload; multipart: OpenMultipart }> {
    const { upload } = await findOwnUpload(request, id)
    if (upload.state !== 'awaiting') throw new AppError('upload_closed')
    if (!upload.multipart) throw new AppError('upload_not_multipart')
    return { upload, multipart: upload.multipart }
  }
}
