import { sourceUrlMaxLength } from '@millrace/shared/imports/source-url.ts'
import { intentFields } from '@millrace/shared/uploads/intent-fields.ts'
import { UserId } from '@millrace/shared/uploads/owner.ts'
import { UploadId } from '@millrace/shared/uploads/upload-id.ts'
import Type from 'typebox'
import { Announcement, toIntent } from '../announcing/announcement.ts'
import { IdempotencyHeaders, type WithIdempotencyKey } from '../announcing/idempotency-key.ts'
import { PartUrlView } from '../announcing/part-schemas.ts'
import type { StartedImport, StartImport } from '../announcing/start-import.ts'
import type { StartedUpload, StartUpload } from '../announcing/start-upload.ts'
import type { Api } from '../http/api.ts'
import { budgetHolder } from '../identity/budget-holder.ts'
import type { ListUploads } from '../listing/list-uploads.ts'
import type { FindListedOwner } from '../listing/listed-owner.ts'
import { filterFields, idRangeOf, ListOrder, readFilterQuery } from '../listing/upload-filter.ts'
import { traceOf } from '../requests/traceparent.ts'
import { type FindOwnUpload, UploadParams } from './find-own-upload.ts'
import { UploadView, type ViewUpload } from './upload-view.ts'

/** A file that the client will send, and how. */
const AnnouncedFile = Type.Object(
  {
    ...Announcement.properties,
    transport: Type.Optional(
      Type.Union([Type.Literal('form'), Type.Literal('put')], {
        description:
          'how a file of up to 8 MiB is sent: `form` (the default), as HTML forms send it, or `put`, which S3 accepts once',
      }),
    ),
  },
  { title: 'Announcement', additionalProperties: false },
)

/** A file that a worker downloads. */
const ImportRequest = Type.Object(
  {
    sourceUrl: Type.String({
      maxLength: sourceUrlMaxLength,
      description: 'http or https URL of a public host; redirects are followed',
    }),
    ...intentFields,
    filename: Type.Optional(intentFields.filename),
    contentType: Type.Optional(intentFields.contentType),
    size: Type.Optional(
      Type.Integer({
        minimum: 0,
        description: 'bytes; the upload is rejected if the source has a different size',
      }),
    ),
  },
  { title: 'ImportRequest', additionalProperties: false },
)

const FormTransport = Type.Object(
  {
    kind: Type.Literal('form'),
    url: Type.String({ description: 'POST the form to this URL' }),
    fields: Type.Record(Type.String(), Type.String(), {
      description: 'all of these form fields must come before the file',
    }),
  },
  { title: 'FormTransport' },
)
const PutTransport = Type.Object(
  {
    kind: Type.Literal('put'),
    url: Type.String({ description: 'PUT the bytes of the file to this URL' }),
    headers: Type.Record(Type.String(), Type.String(), {
      description:
        'all of these headers must be sent, unchanged. If S3 has the file already, for example because a response was ' +
        'lost, it responds with 412',
    }),
  },
  { title: 'PutTransport' },
)
const MultipartTransport = Type.Object(
  {
    kind: Type.Literal('multipart'),
    partSize: Type.Integer({ description: 'bytes; the last part may be shorter' }),
    partCount: Type.Integer(),
    parts: Type.Array(PartUrlView, { description: 'the first parts; `POST /uploads/{id}/parts` signs more' }),
  },
  { title: 'MultipartTransport' },
)
const ImportTransport = Type.Object(
  { kind: Type.Literal('import', { description: 'the client sends nothing: a worker downloads the file' }) },
  { title: 'ImportTransport' },
)
const NoTransport = Type.Object(
  {
    kind: Type.Literal('none', {
      description:
        'the client sends nothing: S3 has the file. Only in the response to a repeated request, see `Idempotency-Key`',
    }),
  },
  { title: 'NoTransport' },
)

export const Announced = Type.Object(
  {
    id: UploadId,
    state: UploadView.properties.state,
    expiresAt: Type.Optional(
      Type.String({
        description:
          'ISO 8601; the upload expires if its bytes have not arrived by then. Absent if they have',
      }),
    ),
    transport: Type.Union([FormTransport, PutTransport, MultipartTransport, ImportTransport, NoTransport]),
  },
  { title: 'AnnouncedUpload' },
)

/** How many uploads a page has if the request does not say. */
const defaultLimit = 50

/** The fields of a list's page. `state` is repeated or has commas, `metadata` is sent as `metadata[name]=value`. */
const Page = Type.Object({
  user: Type.Optional(UserId),
  ...filterFields,
  metadata: Type.Optional({ ...filterFields.metadata, style: 'deepObject', explode: true }),
  order: Type.Optional({ ...ListOrder, description: 'by time of creation; default: `newest`' }),
  cursor: Type.Optional(UploadId),
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 200, default: defaultLimit })),
})

export const UploadPage = Type.Object(
  {
    uploads: Type.Array(UploadView),
    nextCursor: Type.Optional({
      ...UploadId,
      description:
        'cursor of the next page; absent on the last one. A page that is shorter than `limit`, or empty, can have it. It is a position in time, and stays valid with another filter or order',
    }),
  },
  { title: 'UploadPage' },
)

/** `/uploads`: announces a file or an import, returns one upload, lists the owner's uploads. */
export function uploadRoutes(
  api: Api,
  deps: {
    listedOwner: FindListedOwner
    findOwnUpload: FindOwnUpload
    withIdempotencyKey: WithIdempotencyKey
    startUpload: StartUpload
    startImport: StartImport
    listUploads: ListUploads
    viewUpload: ViewUpload
  },
): void {
  const { listedOwner, findOwnUpload, withIdempotencyKey, startUpload, startImport } = deps
  const { listUploads, viewUpload } = deps

  api.post(
    '/uploads',
    {
      schema: {
        headers: IdempotencyHeaders,
        body: Type.Union([AnnouncedFile, ImportRequest]),
        response: { 201: Announced },
      },
    },
    async (request, reply) => {
      const { body } = request
      const started = await withIdempotencyKey(
        request,
        {
          key: request.headers['idempotency-key'],
          content: ['POST /uploads', body],
          respondAgain: ({ id, state }): StartedUpload | StartedImport =>
            'sourceUrl' in body
              ? { id, state, transport: { kind: 'import' } }
              : { id, state, transport: { kind: 'none' } },
        },
        async (ownerId, keyed) => {
          const holder = budgetHolder(request, ownerId)
          if ('sourceUrl' in body) return startImport(holder, { ...body, ...traceOf(request) }, keyed)
          const { transport = 'form', ...announced } = body
          return startUpload(holder, { ...toIntent(announced), ...traceOf(request) }, { transport, keyed })
        },
      )
      reply.code(201).header('location', `/uploads/${started.id}`)
      return started
    },
  )

  api.get(
    '/uploads',
    {
      schema: { querystring: Page, response: { 200: UploadPage } },
      preValidation: async (request) => {
        Object.assign(request, { query: readFilterQuery(request.query) })
      },
    },
    async (request, reply) => {
      reply.header('cache-control', 'no-store')
      const { user, cursor, limit = defaultLimit, order, ...filter } = request.query
      // Also without an owner, invalid times are invalid.
      idRangeOf(filter)
      const listed = await listedOwner(request, user)
      if (!listed) return { uploads: [] }
      const page = await listUploads(listed.owner, { cursor, limit, filter, ...(order && { order }) })
      return { ...page, uploads: page.uploads.map((upload) => viewUpload(upload, listed.user)) }
    },
  )

  api.get(
    '/uploads/:id',
    { schema: { params: UploadParams, response: { 200: UploadView } } },
    async (request, reply) => {
      reply.header('cache-control', 'no-store')
      const { upload } = await findOwnUpload(request, request.params.id)
      return viewUpload(upload, request.caller?.user)
    },
  )
}
