import { createHash } from 'node:crypto'
import { Queue } from 'bullmq'
import type { Redis } from 'ioredis'
import Type, { type Static } from 'typebox'
import { Owner } from '../uploads/owner.ts'
import { UploadId } from '../uploads/upload-id.ts'

/** The queue of the main job. Its Redis keys begin with `{prefix}:uploads:`. */
export const uploadQueueName = 'uploads'

/** What a `process-upload` job says: which bytes of which upload. All else is in the record and in S3. */
export const ProcessUploadJob = Type.Object(
  {
    version: Type.Literal(1),
    owner: Owner,
    id: UploadId,
    etag: Type.String({ minLength: 1, description: 'names the bytes that arrived' }),
    traceparent: Type.Optional(Type.String()),
  },
  { additionalProperties: false },
)
export type ProcessUploadJob = Static<typeof ProcessUploadJob>

/** How often a job is tried before its upload is `failed`. */
export const processUploadAttempts = 5

/**
 * The id under which BullMQ keeps the job: the same bytes of the same upload are one job, however often S3
 * tells of them. It holds no `:`, which BullMQ reserves.
 */
export function processUploadJobId({ id, etag }: { id: string; etag: string }): string {
  return `${id}-${createHash('sha256').update(etag).digest('hex').slice(0, 16)}`
}

/**
 * The producing end of the queue.
 *
 * @param deps.redis a connection; it is not closed with the queue
 * @param deps.prefix begins every key
 */
export function createUploadQueue({ redis, prefix }: { redis: Redis; prefix: string }) {
  const queue = new Queue<ProcessUploadJob, void, 'process-upload'>(uploadQueueName, {
    connection: redis,
    prefix,
    defaultJobOptions: {
      attempts: processUploadAttempts,
      // Milliseconds: 1 s, 2 s, 4 s, 8 s, each shortened by up to half so that failures spread out.
      backoff: { type: 'exponential', delay: 1000, jitter: 0.5 },
      // A finished job must not stand in the way of the same bytes arriving again after others: that it is
      // done is known from the record and the manifest, not from the job.
      removeOnComplete: true,
      removeOnFail: { age: 7 * 24 * 60 * 60, count: 10_000 },
    },
  })

  // Without a listener BullMQ prints the connection's errors, which the connection's owner logs already.
  queue.on('error', () => undefined)

  return {
    /** Adds the job; a job of this id that is still known is left as it is. */
    async add(job: Omit<ProcessUploadJob, 'version'>): Promise<void> {
      await queue.add('process-upload', { version: 1, ...job }, { jobId: processUploadJobId(job) })
    },
    /**
     * Lets a job that BullMQ gave up start over, with all its attempts. Does nothing where the job is not
     * known or goes its way.
     */
    async revive(job: { id: string; etag: string }): Promise<void> {
      const found = await queue.getJob(processUploadJobId(job))
      if (!found || !(await found.isFailed())) return
      await found.retry('failed', { resetAttemptsMade: true, resetAttemptsStarted: true })
    },
    /** Takes a job out that waits. One that is under way goes on, and finds its upload erased. */
    async remove(job: { id: string; etag: string }): Promise<void> {
      await queue.remove(processUploadJobId(job))
    },
    /** How many jobs there are, and when the one that waits longest was added, in ms since 1970. */
    async look() {
      const [counts, [oldest]] = await Promise.all([
        queue.getJobCounts('waiting', 'prioritized', 'active'),
        queue.getJobs(['waiting'], 0, 0, true),
      ])
      const { waiting = 0, prioritized = 0, active = 0 } = counts
      return { waiting, prioritized, active, oldestAddedAt: oldest?.timestamp }
    },
    async close(): Promise<void> {
      await queue.close()
    },
  }
}

export type UploadQueue = ReturnType<typeof createUploadQueue>
