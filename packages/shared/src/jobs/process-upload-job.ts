import { createHash } from 'node:crypto'
import { Queue } from 'bullmq'
import type { Redis } from 'ioredis'
import Type, { type Static } from 'typebox'
import { Owner } from '../uploads/owner.ts'
import { UploadId } from '../uploads/upload-id.ts'

/** The queue of `process-upload` jobs. Its Redis keys start with `{prefix}:uploads:`. */
export const uploadQueueName = 'uploads'

/** Payload of a `process-upload` job: the upload and its bytes. Everything else is in the record and in S3. */
export const ProcessUploadJob = Type.Object(
  {
    version: Type.Literal(1),
    owner: Owner,
    id: UploadId,
    etag: Type.String({ minLength: 1, description: 'identifies the bytes that arrived' }),
    traceparent: Type.Optional(Type.String()),
  },
  { additionalProperties: false },
)
export type ProcessUploadJob = Static<typeof ProcessUploadJob>

/** Number of attempts before the upload is `failed`. */
export const processUploadAttempts = 5

/**
 * Returns the job's id in BullMQ. The same bytes of the same upload are one job, however many events S3 sends. It has
 * no `:`, which BullMQ reserves.
 */
export function processUploadJobId({ id, etag }: { id: string; etag: string }): string {
  return `${id}-${createHash('sha256').update(etag).digest('hex').slice(0, 16)}`
}

/**
 * Adds jobs to the queue and reads its state.
 *
 * @param deps.redis a connection; it is not closed with the queue
 * @param deps.prefix prefix of every key
 * @param deps.isReadOnly writes nothing when it is created, for callers that only read
 */
export function createUploadQueue(deps: { redis: Redis; prefix: string; isReadOnly?: boolean }) {
  const queue = new Queue<ProcessUploadJob, void, 'process-upload'>(uploadQueueName, {
    connection: deps.redis,
    prefix: deps.prefix,
    skipMetasUpdate: deps.isReadOnly ?? false,
    defaultJobOptions: {
      attempts: processUploadAttempts,
      // Milliseconds: 1 s, 2 s, 4 s, 8 s, each shortened by up to half so that failures spread out.
      backoff: { type: 'exponential', delay: 1000, jitter: 0.5 },
      // A kept job would block the same bytes if they arrive again after others. Record and manifest show that
      // the work is done, not the job.
      removeOnComplete: true,
      removeOnFail: { age: 7 * 24 * 60 * 60, count: 10_000 },
    },
  })

  // Without a listener, BullMQ prints the connection's errors, which are already logged where it is created.
  queue.on('error', () => undefined)

  return {
    /** Adds the job. An existing job with this id is not changed. */
    async add(job: Omit<ProcessUploadJob, 'version'>): Promise<void> {
      await queue.add('process-upload', { version: 1, ...job }, { jobId: processUploadJobId(job) })
    },
    /**
     * Restarts a job that failed after all its attempts, with all attempts again. Does nothing if there is no such job
     * or it has not failed.
     */
    async revive(job: { id: string; etag: string }): Promise<void> {
      const found = await queue.getJob(processUploadJobId(job))
      if (!found || !(await found.isFailed())) return
      await found.retry('failed', { resetAttemptsMade: true, resetAttemptsStarted: true })
    },
    /** Whether there is a job for these bytes that waits or runs. One that failed after all attempts does not count. */
    async isPending(job: { id: string; etag: string }): Promise<boolean> {
      const state = await queue.getJobState(processUploadJobId(job))
      return state !== 'unknown' && state !== 'failed' && state !== 'completed'
    },
    /** Removes a waiting job. An active job continues and finds its upload erased. */
    async remove(job: { id: string; etag: string }): Promise<void> {
      await queue.remove(processUploadJobId(job))
    },
    /** Returns the number of jobs by state, and when the longest waiting job was added, in ms since 1970. */
    async counts() {
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
