import { ArrivalFailure, type ArrivalFailures } from '@millrace/shared/jobs/arrival-failures.ts'
import { deadLetterObjects, objectKinds } from '@millrace/shared/jobs/dead-letter-objects.ts'
import type { DeadLetter, DeadLetterCount, DeadLetters } from '@millrace/shared/jobs/dead-letters.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import { Owner } from '@millrace/shared/uploads/owner.ts'
import { UploadState } from '@millrace/shared/uploads/upload.ts'
import { UploadId } from '@millrace/shared/uploads/upload-id.ts'
import type { UploadRecords } from '@millrace/shared/uploads/upload-records.ts'
import Type, { type Static } from 'typebox'
import type { Api } from '../http/api.ts'

/** How much of a message is shown that is not an S3 event, in characters. */
const excerptLength = 300

const counts = {
  count: Type.Integer({ description: 'messages that can be read and moved now; SQS counts approximately' }),
  hidden: Type.Integer({ description: 'messages that another reader has, for at most some minutes' }),
}

const DeadLetterObjectView = Type.Object(
  {
    key: Type.String({ description: "the object's key in the bucket" }),
    kind: Type.Enum(objectKinds),
    owner: Type.Optional(Owner),
    uploadId: Type.Optional(UploadId),
    state: Type.Optional(UploadState),
  },
  { title: 'DeadLetterObject' },
)

const DeadLetterView = Type.Object(
  {
    id: Type.String({ description: "SQS' id of the message; log lines have it as `messageId`" }),
    sentAt: Type.String({ description: 'when S3 sent it; ISO 8601, UTC' }),
    receivedCount: Type.Integer({ description: 'how often it was received; each list counts as well' }),
    objects: Type.Optional(
      Type.Array(DeadLetterObjectView, {
        description: 'what was written to the bucket; absent if it is not an S3 event',
      }),
    ),
    reason: Type.Optional({
      ...ArrivalFailure,
      description:
        'why it failed last; absent if its workers ended before they could say, or if Redis lost it. The log has more',
    }),
    excerpt: Type.Optional(
      Type.String({ description: `the first ${excerptLength} characters, if it is not an S3 event` }),
    ),
  },
  { title: 'DeadLetter' },
)

export const DeadLetterList = Type.Object(
  { ...counts, messages: Type.Array(DeadLetterView, { description: 'some of them, the oldest first' }) },
  { title: 'DeadLetterList' },
)

const Page = Type.Object({ limit: Type.Integer({ minimum: 1, maximum: 100, default: 50 }) })

const RedriveRequest = Type.Object(
  {
    limit: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 1_000, description: 'how many at most; default: 1000' }),
    ),
  },
  { title: 'RedriveRequest', additionalProperties: false },
)

export const RedriveResponse = Type.Object(
  { moved: Type.Integer({ description: 'messages that are in the events queue again' }), ...counts },
  { title: 'RedriveResponse' },
)

/**
 * `GET /admin/dead-letters`, `POST /admin/dead-letters/redrive`: S3's events that workers could not handle.
 *
 * @param deps.deadLetters undefined: the queue is not known
 */
export function deadLetterRoutes(
  api: Api,
  deps: {
    deadLetters: DeadLetters | undefined
    failures: Pick<ArrivalFailures, 'find'>
    records: Pick<UploadRecords, 'find'>
    bucket: string
  },
): void {
  const { failures, records, bucket } = deps
  const config = { scope: 'admin' } as const

  api.get(
    '/admin/dead-letters',
    { config, schema: { querystring: Page, response: { 200: DeadLetterList } } },
    async (request, reply) => {
      reply.header('cache-control', 'no-store')
      const deadLetters = known()
      const letters = await deadLetters.list({ limit: request.query.limit })
      const reasons = await failures.find(letters.map(({ id }) => id))
      const messages = await Promise.all(letters.map((letter, i) => view(letter, reasons[i])))
      return { ...viewCount(await deadLetters.count()), messages }
    },
  )

  api.post(
    '/admin/dead-letters/redrive',
    {
      config,
      schema: { body: RedriveRequest, response: { 200: RedriveResponse } },
      preValidation: async (request) => {
        // The body is optional.
        request.body ??= {}
      },
    },
    async (request) => {
      const deadLetters = known()
      const { moved } = await deadLetters.redrive({ limit: request.body.limit ?? 1_000 })
      request.log.info({ event: 'dead-letters-redriven', moved }, 'dead letters were sent again')
      return { moved, ...viewCount(await deadLetters.count()) }
    },
  )

  function known(): DeadLetters {
    if (!deps.deadLetters)
      throw new AppError('not_configured', { message: 'DEAD_LETTER_QUEUE_URL is not set on this server.' })
    return deps.deadLetters
  }

  async function view(
    { id, body, sentAtMs, receivedCount }: DeadLetter,
    reason: ArrivalFailure | undefined,
  ): Promise<Static<typeof DeadLetterView>> {
    const objects = deadLetterObjects(body, bucket)
    return {
      id,
      sentAt: new Date(sentAtMs).toISOString(),
      receivedCount,
      ...(objects
        ? {
            objects: await Promise.all(
              objects.map(async ({ key, kind, upload }) => {
                // A record that this version cannot read, or a Redis that is away, hides no dead letter.
                const found = upload && (await records.find(upload).catch(() => undefined))
                return {
                  key,
                  kind,
                  ...(upload && { owner: upload.owner, uploadId: upload.id }),
                  ...(found && { state: found.upload.state }),
                }
              }),
            ),
          }
        : { excerpt: body.slice(0, excerptLength) }),
      ...(reason && { reason }),
    }
  }
}

function viewCount({ visible, hidden }: DeadLetterCount) {
  return { count: visible, hidden }
}
