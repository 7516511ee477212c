import { Queue } from 'bullmq'
import type { Redis } from 'ioredis'
import Type, { type Static } from 'typebox'
import { noTracing, type Tracing } from '../tracing/tracing.ts'
import { Owner } from '../uploads/owner.ts'
import { UploadId } from '../uploads/upload-id.ts'
import { createFairTurns } from './fair-turns.ts'

/**
 * The queue of `import-upload` jobs. It is separate so that slow sources take no slots from images. Its Redis keys
 * start with `{prefix}:imports:`.
 */
export const importQueueName = 'imports'

/**
 * Payload of an `import-upload` job: the upload. The source's URL is only in the record, which no dashboard shows and
 * which is erased with the upload. For other versions, the rules of `ProcessUploadJob` apply.
 */
export const ImportUploadJob = Type.Object({
  version: Type.Literal(1),
  owner: Owner,
  id: UploadId,
  traceparent: Type.Optional(Type.String()),
})
export type ImportUploadJob = Static<typeof ImportUploadJob>

/** Number of attempts before the upload is `failed`. */
export const importUploadAttempts = 5

/**
 * Adds jobs to the queue. Owners take turns (`fair-turns.ts`).
 *
 * @param deps.redis a connection; it is not closed with the queue
 * @param deps.prefix prefix of every key
 * @param deps.tracing carries the trace of an upload in its job; default: nothing is traced
 */
export function createImportQueue({
  redis,
  prefix,
  tracing = noTracing,
}: {
  redis: Redis
  prefix: string
  tracing?: Tracing | undefined
}) {
  const queue = new Queue<ImportUploadJob, void, 'import-upload'>(importQueueName, {
    connection: redis,
    prefix,
    ...(tracing.telemetry && { telemetry: tracing.telemetry }),
    defaultJobOptions: {
      attempts: importUploadAttempts,
      // Milliseconds: 5 s, 10 s, 20 s, 40 s, each shortened by up to half. A failing source needs more time than our
      // own services.
      backoff: { type: 'exponential', delay: 5000, jitter: 0.5 },
      removeOnComplete: true,
      // For the operator only. Some 3 KB each, with the stack of the last attempt.
      removeOnFail: { age: 7 * 24 * 60 * 60, count: 1_000 },
      stackTraceLimit: 1,
    },
  })

  // Without a listener, BullMQ prints the connection's errors, which are already logged where it is created.
  queue.on('error', () => undefined)

  const turns = createFairTurns({ redis, queue })

  return {
    /** Adds the job. Its id is the upload's, so an upload is imported once. */
    async add(job: Omit<ImportUploadJob, 'version'>): Promise<void> {
      await tracing.within(job.traceparent, () =>
        queue.add('import-upload', { version: 1, ...job }, { jobId: job.id, ...turns.options }),
      )
      await turns.place({ jobId: job.id, owner: job.owner })
    },
    /** Removes a waiting job. An active job finds its upload erased and ends. */
    async remove({ owner, id }: { owner: string; id: string }): Promise<void> {
      await turns.giveBack({ jobId: id, owner })
      await queue.remove(id)
    },
    async close(): Promise<void> {
      await queue.close()
    },
  }
}

export type ImportQueue = ReturnType<typeof createImportQueue>
