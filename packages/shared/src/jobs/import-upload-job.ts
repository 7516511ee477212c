import { Queue } from 'bullmq'
import type { Redis } from 'ioredis'
import Type, { type Static } from 'typebox'
import { Owner } from '../uploads/owner.ts'
import { UploadId } from '../uploads/upload-id.ts'

/**
 * The queue of imports. It is one of its own so that sources which send slowly take no slot from images. Its
 * Redis keys begin with `{prefix}:imports:`.
 */
export const importQueueName = 'imports'

/**
 * What an `import-upload` job says: which upload. The source's URL is in the record alone, which goes with the
 * upload and is shown on no dashboard.
 */
export const ImportUploadJob = Type.Object(
  {
    version: Type.Literal(1),
    owner: Owner,
    id: UploadId,
    traceparent: Type.Optional(Type.String()),
  },
  { additionalProperties: false },
)
export type ImportUploadJob = Static<typeof ImportUploadJob>

/** How often a source is asked before its upload is `failed`. */
export const importUploadAttempts = 5

/**
 * The producing end of the queue.
 *
 * @param deps.redis a connection; it is not closed with the queue
 * @param deps.prefix begins every key
 */
export function createImportQueue({ redis, prefix }: { redis: Redis; prefix: string }) {
  const queue = new Queue<ImportUploadJob, void, 'import-upload'>(importQueueName, {
    connection: redis,
    prefix,
    defaultJobOptions: {
      attempts: importUploadAttempts,
      // Milliseconds: 5 s, 10 s, 20 s, 40 s, each shortened by up to half. A server that is unwell needs longer
      // than our own parts do.
      backoff: { type: 'exponential', delay: 5000, jitter: 0.5 },
      removeOnComplete: true,
      removeOnFail: { age: 7 * 24 * 60 * 60, count: 10_000 },
    },
  })

  // Without a listener BullMQ prints the connection's errors, which the connection's owner logs already.
  queue.on('error', () => undefined)

  return {
    /** Adds the job. Its id is the upload's, so an upload is imported once. */
    async add(job: Omit<ImportUploadJob, 'version'>): Promise<void> {
      await queue.add('import-upload', { version: 1, ...job }, { jobId: job.id })
    },
    /** Takes a job out that waits. One that is under way finds its upload erased, and ends. */
    async remove({ id }: { id: string }): Promise<void> {
      await queue.remove(id)
    },
    async close(): Promise<void> {
      await queue.close()
    },
  }
}

export type ImportQueue = ReturnType<typeof createImportQueue>
