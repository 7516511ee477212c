import type { UploadQueue } from '@millrace/shared/jobs/process-upload-job.ts'
import type { UploadLookup } from '@millrace/shared/lifecycle/upload-lookup.ts'
import { createBudget } from '@millrace/shared/network/budget.ts'
import { AppError, errorCatalogue } from '@millrace/shared/service/app-error.ts'
import type { Upload } from '@millrace/shared/uploads/upload.ts'
import { isUploadId, UploadId } from '@millrace/shared/uploads/upload-id.ts'
import type { FastifyRequest } from 'fastify'
import Type, { type Static } from 'typebox'
import type { Api } from '../http/api.ts'
import { budgetHolder } from '../identity/budget-holder.ts'
import type { RequestOwner } from '../identity/request-owner.ts'
import type { ListUploads } from '../listing/list-uploads.ts'
import { filterFields, ListOrder } from '../listing/upload-filter.ts'
import { eachUpload } from './each-upload.ts'
import type { EraseOwnUpload } from './erase-own-upload.ts'
import { type ReprocessOutdated, type Room, tooManyWaiting } from './reprocess-outdated.ts'

/** How many uploads one request may name: their ids take 39 KB. */
const maxIds = 1000
/**
 * How many such requests run at once. One of them may cost thousands of requests to S3, while the rate limits count it as one
 * request.
 */
const bulkLimits = { instance: 8, owner: 1, address: 2 }

const Ids = Type.Object(
  {
    // Any text, because an invalid id is not found, like an unknown one.
    ids: Type.Array(Type.String({ maxLength: 64, description: 'UUIDv7' }), { minItems: 1, maxItems: maxIds }),
  },
  { title: 'UploadIds', additionalProperties: false },
)

const FilteredPage = Type.Object(
  {
    filter: Type.Object(filterFields, { additionalProperties: false }),
    order: Type.Optional(ListOrder),
    cursor: Type.Optional({ ...UploadId, description: '`nextCursor` of the page before' }),
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 200, description: 'default: 200' })),
  },
  { title: 'FilteredUploads', additionalProperties: false },
)

const ResultError = Type.Object(
  { code: Type.Enum(Object.keys(errorCatalogue), { title: 'ErrorCode' }), message: Type.String() },
  { title: 'ResultError' },
)
const ReprocessResult = Type.Object(
  {
    id: Type.String(),
    outcome: Type.Union([Type.Literal('accepted'), Type.Literal('up_to_date'), Type.Literal('refused')]),
    error: Type.Optional(ResultError),
  },
  { title: 'ReprocessResult' },
)
export const ReprocessResults = Type.Object(
  {
    results: Type.Array(ReprocessResult, { description: 'in the order of the request' }),
    nextCursor: Type.Optional({
      ...UploadId,
      description: 'cursor of the next page of a filter; absent on the last one',
    }),
  },
  { title: 'ReprocessResults' },
)
const EraseResult = Type.Object(
  {
    id: Type.String(),
    outcome: Type.Union([Type.Literal('deleted'), Type.Literal('not_found'), Type.Literal('failed')]),
    error: Type.Optional(ResultError),
  },
  { title: 'EraseResult' },
)
export const EraseResults = Type.Object(
  { results: Type.Array(EraseResult, { description: 'in the order of the request' }) },
  { title: 'EraseResults' },
)

/** `POST /uploads/reprocess`, `POST /uploads/delete`: the same for many uploads, with a result for each. */
export function bulkRoutes(
  api: Api,
  deps: {
    owner: RequestOwner
    lookup: UploadLookup
    listUploads: ListUploads
    eraseOwnUpload: EraseOwnUpload
    reprocessOutdated: ReprocessOutdated
    queue: Pick<UploadQueue, 'backfillRoom'>
  },
): void {
  const { owner, lookup, listUploads, eraseOwnUpload, reprocessOutdated, queue } = deps
  const budget = createBudget({ unit: 'requests for many uploads', code: 'rate_limited', limits: bulkLimits })

  api.post(
    '/uploads/reprocess',
    { schema: { body: Type.Union([Ids, FilteredPage]), response: { 200: ReprocessResults } } },
    async (request) => {
      const { body } = request
      return withinBudget(request, async (ownerId) => {
        const room = { left: await queue.backfillRoom() }
        if (room.left <= 0) throw tooManyWaiting()
        if ('filter' in body)
          return ownerId === undefined ? { results: [] } : reprocessPage(request, ownerId, body, room)
        const results = await eachUpload<{ id: string }, Static<typeof ReprocessResult>>(
          body.ids.map((id) => ({ id })),
          {
            run: async ({ id }) => {
              const isKnown = ownerId !== undefined && isUploadId(id)
              const stored = isKnown ? await lookup.find({ owner: ownerId, id }) : undefined
              if (!stored) throw new AppError('upload_not_found')
              return { id, outcome: await reprocessOutdated(stored.upload, room) }
            },
            refused,
            log: request.log,
          },
        )
        return { results }
      })
    },
  )

  api.post(
    '/uploads/delete',
    { config: { sendsNoFile: true }, schema: { body: Ids, response: { 200: EraseResults } } },
    async (request) =>
      withinBudget(request, async (ownerId) => ({
        results: await eachUpload<{ id: string }, Static<typeof EraseResult>>(
          request.body.ids.map((id) => ({ id })),
          {
            async run({ id }) {
              await eraseOwnUpload(ownerId, id)
              return { id, outcome: 'deleted' }
            },
            refused: ({ id }, error) =>
              error.code === 'upload_not_found'
                ? { id, outcome: 'not_found' }
                : { id, outcome: 'failed', error: { code: error.code, message: error.message } },
            log: request.log,
          },
        ),
      })),
  )

  async function reprocessPage(
    request: FastifyRequest,
    ownerId: string,
    { filter, order, cursor, limit = 200 }: Static<typeof FilteredPage>,
    room: Room,
  ): Promise<Static<typeof ReprocessResults>> {
    const page = await listUploads(ownerId, {
      filter,
      cursor,
      limit: Math.min(limit, room.left),
      ...(order && { order }),
    })
    const results = await eachUpload<Upload, Static<typeof ReprocessResult>>(page.uploads, {
      run: async (upload) => ({ id: upload.id, outcome: await reprocessOutdated(upload, room) }),
      refused,
      log: request.log,
    })
    const { nextCursor } = page
    return { results, ...(nextCursor !== undefined && { nextCursor }) }
  }

  async function withinBudget<Result>(
    request: FastifyRequest,
    run: (ownerId: string | undefined) => Promise<Result>,
  ): Promise<Result> {
    const ownerId = await owner.find(request)
    const share = budget.take(budgetHolder(request, ownerId))
    try {
      return await run(ownerId)
    } finally {
      share.release()
    }
  }
}

function refused({ id }: { id: string }, { code, message }: AppError): Static<typeof ReprocessResult> {
  return { id, outcome: 'refused', error: { code, message } }
}
