import { intentFields } from '@millrace/shared/intent-fields.ts'
import { defaultPreset } from '@millrace/shared/preset.ts'
import { UploadId } from '@millrace/shared/upload-id.ts'
import Type from 'typebox'
import { Compile } from 'typebox/compile'
import type { Api } from './api.ts'
import { type HonourKey, IdempotencyHeaders } from './idempotency-key.ts'
import type { ListUploads } from './list-uploads.ts'
import { type OwnedUpload, UploadParams } from './owned-upload.ts'
import type { RequestOwner } from './request-owner.ts'
import type { StartUpload } from './start-upload.ts'
import { traceOf } from './traceparent.ts'
import { UploadView, viewUpload } from './upload-view.ts'

const Announcement = Type.Object(
  {
    ...intentFields,
    size: Type.Integer({ minimum: 1, description: 'bytes' }),
  },
  { title: 'Announcement', additionalProperties: false },
)

export const PartUrlView = Type.Object(
  { partNumber: Type.Integer(), url: Type.String({ description: 'send the part here by PUT' }) },
  { title: 'PartUrl' },
)

const FormTransport = Type.Object(
  {
    kind: Type.Literal('form'),
    url: Type.String({ description: 'send the form here by POST' }),
    fields: Type.Record(Type.String(), Type.String(), { description: 'all of them, before the file' }),
  },
  { title: 'FormTransport' },
)
const MultipartTransport = Type.Object(
  {
    kind: Type.Literal('multipart'),
    partSize: Type.Integer({ description: 'bytes; the last part may be shorter' }),
    partCount: Type.Integer(),
    parts: Type.Array(PartUrlView, { description: 'the first ones; POST …/parts signs more' }),
  },
  { title: 'MultipartTransport' },
)

export const Announced = Type.Object(
  {
    id: UploadId,
    state: UploadView.properties.state,
    expiresAt: Type.String({ description: 'ISO 8601; until then the bytes are awaited' }),
    transport: Type.Union([FormTransport, MultipartTransport]),
  },
  { title: 'AnnouncedUpload' },
)

const announced = Compile(Announced)

const Page = Type.Object({
  cursor: Type.Optional(UploadId),
  limit: Type.Integer({ minimum: 1, maximum: 200, default: 50 }),
})

export const UploadPage = Type.Object(
  { uploads: Type.Array(UploadView), nextCursor: Type.Optional(UploadId) },
  { title: 'UploadPage' },
)

/** `/uploads`: announce a file, look at one, look at all of one's own. */
export function uploadRoutes(
  api: Api,
  deps: {
    owner: RequestOwner
    ownedUpload: OwnedUpload
    honourKey: HonourKey
    startUpload: StartUpload
    listUploads: ListUploads
  },
): void {
  const { owner, ownedUpload, honourKey, startUpload, listUploads } = deps

  api.post(
    '/uploads',
    { schema: { headers: IdempotencyHeaders, body: Announcement, response: { 201: Announced } } },
    async (request, reply) => {
      const { filename, contentType, size, preset, sha256, metadata } = request.body
      const started = await honourKey(
        request,
        {
          key: request.headers['idempotency-key'],
          content: ['POST /uploads', request.body],
          answer: announced,
        },
        (asking) =>
          startUpload(asking, {
            filename,
            contentType,
            size,
            preset: preset ?? defaultPreset.name,
            ...(metadata && { metadata }),
            ...(sha256 && { declaredSha256: sha256 }),
            ...traceOf(request),
          }),
      )
      reply.code(201).header('location', `/uploads/${started.id}`)
      return started
    },
  )

  api.get(
    '/uploads',
    { schema: { querystring: Page, response: { 200: UploadPage } } },
    async (request, reply) => {
      reply.header('cache-control', 'no-store')
      const asking = await owner.find(request)
      if (!asking) return { uploads: [] }
      const { cursor, limit } = request.query
      const { uploads, more } = await listUploads(asking, { ...(cursor && { before: cursor }), limit })
      const last = uploads.at(-1)
      return { uploads: uploads.map(viewUpload), ...(more && last && { nextCursor: last.id }) }
    },
  )

  api.get(
    '/uploads/:id',
    { schema: { params: UploadParams, response: { 200: UploadView } } },
    async (request, reply) => {
      reply.header('cache-control', 'no-store')
      const { upload } = await ownedUpload(request, request.params.id)
      return viewUpload(upload)
    },
  )
}
