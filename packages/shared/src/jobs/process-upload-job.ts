import { createHash } from 'node:crypto'
import { Queue } from 'bullmq'
import type { Redis } from 'ioredis'
import Type, { type Static } from 'typebox'
import { noTracing, type Tracing } from '../tracing/tracing.ts'
import { Owner } from '../uploads/owner.ts'
import { UploadId } from '../uploads/upload-id.ts'
import { createFairTurns, withoutTurn } from './fair-turns.ts'

/** The queue of `process-upload` jobs. Its Redis keys start with `{prefix}:uploads:`. */
export const uploadQueueName = 'uploads'

/**
 * Payload of a `process-upload` job: the upload and its bytes. Everything else is in the record and in S3.
 *
 * Workers of the version before may get it during a rolling deploy. They ignore fields that they do not know, and hand
 * back a job with a greater version. So a field that must not be ignored needs a new version.
 */
export const ProcessUploadJob = Type.Object({
  version: Type.Literal(1),
  owner: Owner,
  id: UploadId,
  etag: Type.String({ minLength: 1, description: 'identifies the bytes that arrived' }),
  traceparent: Type.Optional(Type.String()),
})
export type ProcessUploadJob = Static<typeof ProcessUploadJob>

/** Number of attempts before the upload is `failed`. */
export const processUploadAttempts = 5

/**
 * Returns the job's id in BullMQ. The same bytes of the same upload are one job, however many events S3 sends. It has
 * no `:`, which BullMQ reserves.
 *
 * @param revision of the record, if the bytes are processed again. The earlier job may still exist: it is kept if it
 *   failed, and it is active for a moment after it published the outcome. With its id, the new job would not be added
 */
export function processUploadJobId(
  { id, etag }: { id: string; etag: string },
  { revision }: { revision?: number | undefined } = {},
): string {
  const run = revision === undefined ? '' : `-${revision}`
  return `${id}-${createHash('sha256').update(etag).digest('hex').slice(0, 16)}${run}`
}

/**
 * Limit of jobs in Redis: waiting, delayed and active. Further uploads wait in SQS, so that no backlog fills Redis. Some
 * minutes of work for a large fleet, and about 12 MB.
 */
export const defaultMaxQueuedJobs = 10_000

/**
 * The highest limit. The message of each queued job is in flight in SQS, which allows 120,000 (Amazon SQS Developer
 * Guide, "Amazon SQS message quotas").
 */
export const highestMaxQueuedJobs = 50_000

/**
 * How many jobs an owner may have waiting, as a multiple of the room that is left. So an owner alone fills four fifths of
 * the queue, and others still find room.
 */
const backlogPerRoom = 4

/** How long the number of jobs is cached, in ms. */
const roomLifeMs = 1_000

/**
 * `queued`: waiting, delayed or active. `missing`: completed and removed, lost by Redis, or without a turn, because whoever added
 * it stopped in between: added again, it gets one.
 */
export type UploadJobState = 'queued' | 'failed' | 'missing'

/** How many of the waiting jobs that start next are looked at for the oldest one. */
const oldestAmong = 100

/** How a job is added. */
export type AddOptions = {
  /** Of the record, if the bytes are processed again. */
  revision?: number | undefined
  /** Work that nobody waits for. It starts when no other job waits. */
  isBackfill?: boolean | undefined
}

/**
 * Adds jobs to the queue and reads its state. Owners take turns (`fair-turns.ts`).
 *
 * @param deps.redis a connection; it is not closed with the queue
 * @param deps.prefix prefix of every key
 * @param deps.maxQueuedJobs the number of jobs above which the queue has no room
 * @param deps.isReadOnly writes nothing when it is created, for callers that only read
 * @param deps.now a monotonic clock, in ms
 * @param deps.tracing carries the trace of an upload in its jobs; default: nothing is traced
 */
export function createUploadQueue(deps: {
  redis: Redis
  prefix: string
  maxQueuedJobs?: number
  isReadOnly?: boolean
  now?: () => number
  tracing?: Tracing
}) {
  const { redis, prefix, maxQueuedJobs = defaultMaxQueuedJobs, now = () => performance.now() } = deps
  const { tracing = noTracing } = deps
  const queue = new Queue<ProcessUploadJob, void, 'process-upload'>(uploadQueueName, {
    connection: redis,
    prefix,
    skipMetasUpdate: deps.isReadOnly ?? false,
    ...(tracing.telemetry && { telemetry: tracing.telemetry }),
    defaultJobOptions: {
      attempts: processUploadAttempts,
      // Milliseconds: 1 s, 2 s, 4 s, 8 s, each shortened by up to half so that failures spread out.
      backoff: { type: 'exponential', delay: 1000, jitter: 0.5 },
      // A kept job would block the same bytes if they arrive again after others. Record and manifest show that
      // the work is done, not the job.
      removeOnComplete: true,
      // For the operator only. Some 3 KB each, with the stack of the last attempt.
      removeOnFail: { age: 7 * 24 * 60 * 60, count: 1_000 },
      stackTraceLimit: 1,
    },
  })

  // Without a listener, BullMQ prints the connection's errors, which are already logged where it is created.
  queue.on('error', () => undefined)

  const turns = createFairTurns({ redis, queue })

  /** The room at a time, less the jobs that this process has added since. */
  let known = { readAtMs: Number.NEGATIVE_INFINITY, room: 0 }
  let reading: Promise<number> | undefined

  async function add(job: Omit<ProcessUploadJob, 'version'>, options: AddOptions = {}): Promise<void> {
    const { revision, isBackfill } = options
    const jobId = processUploadJobId(job, { revision })
    await tracing.within(job.traceparent, () =>
      queue.add('process-upload', { version: 1, ...job }, { jobId, ...turns.options }),
    )
    await turns.place({ jobId, owner: job.owner }, { isBackfill })
    if (!isBackfill) known.room -= 1
  }

  async function revive(
    job: { owner: string; id: string; etag: string },
    { isBackfill }: Pick<AddOptions, 'isBackfill'> = {},
  ): Promise<void> {
    const jobId = processUploadJobId(job)
    const found = await queue.getJob(jobId)
    if (!found || !(await found.isFailed())) return
    // Its earlier turn is long over.
    await found.changePriority(turns.options)
    await found.retry('failed', { resetAttemptsMade: true, resetAttemptsStarted: true })
    await turns.place({ jobId, owner: job.owner }, { isBackfill })
  }

  async function room(): Promise<number> {
    const [jobs, prioritized] = await Promise.all([
      queue.getJobCountByTypes('waiting', 'delayed', 'active'),
      turns.countWaiting(),
    ])
    known = { readAtMs: now(), room: maxQueuedJobs - jobs - prioritized }
    return known.room
  }

  /**
   * Returns when the oldest of the jobs that start next was added, in ms since 1970. Backfill does not count: it may wait
   * as long as there are new uploads, which must not look like a fleet that is too small.
   */
  async function oldestAddedAt(): Promise<number | undefined> {
    // An owner's jobs start in their order, and all owners have their next jobs at the front.
    const [listed, prioritized] = await Promise.all([
      redis.lrange(queue.toKey('wait'), -1, -1),
      turns.nextIds(oldestAmong),
    ])
    const pipeline = redis.pipeline()
    for (const id of [...listed, ...prioritized]) pipeline.hget(queue.toKey(id), 'timestamp')
    const results = (await pipeline.exec()) ?? []
    const addedAt = results.flatMap(([, text]) => (typeof text === 'string' ? [Number(text)] : []))
    return addedAt.length === 0 ? undefined : Math.min(...addedAt)
  }

  return {
    /**
     * Adds the job, also above the limit. An existing job with this id is not changed.
     */
    add,
    /**
     * Restarts a job that failed after all its attempts, with all attempts again and a new turn. Does nothing if there is
     * no such job or it has not failed.
     */
    revive,
    /** Makes sure that the job will run: adds it if there is none, and restarts it if it failed. */
    async ensure(job: Omit<ProcessUploadJob, 'version'>): Promise<void> {
      await add(job)
      await revive(job)
    },
    /** Returns how many jobs fit below the limit, not counting backfill; 0 or less if there is no room. */
    room,
    /**
     * Whether there is room for a job, by a number that may be one second old.
     * @param owner whose job it is; its backlog leaves room for jobs of others
     */
    async hasRoom(owner?: string): Promise<boolean> {
      if (now() - known.readAtMs >= roomLifeMs) {
        reading ??= room().finally(() => {
          reading = undefined
        })
        await reading
      }
      if (known.room <= 0) return false
      // With this much room, no backlog is too large.
      if (owner === undefined || known.room * (backlogPerRoom + 1) > maxQueuedJobs) return true
      return (await turns.backlogOf(owner)) < backlogPerRoom * known.room
    },
    /** Returns how many jobs of backfill fit below the limit, which they have for themselves. */
    async backfillRoom(): Promise<number> {
      return maxQueuedJobs - (await turns.countBackfill())
    },
    /** Returns the states of jobs in their order, from one pipeline. Cheap for hundreds. */
    async states(jobs: { id: string; etag: string }[]): Promise<UploadJobState[]> {
      const pipeline = redis.pipeline()
      for (const job of jobs) {
        const jobId = processUploadJobId(job)
        // Of jobs that are kept, only failed ones have ended.
        pipeline.hmget(queue.toKey(jobId), 'priority', 'finishedOn')
      }
      const results = (await pipeline.exec()) ?? []
      return results.map(([error, fields]) => {
        if (error) throw error
        if (!Array.isArray(fields)) throw new Error('Redis returned an unexpected result for HMGET.')
        const [priority, finishedOn]: unknown[] = fields
        if (typeof finishedOn === 'string') return 'failed'
        return typeof priority === 'string' && Number(priority) !== withoutTurn ? 'queued' : 'missing'
      })
    },
    /** Whether there is a job for these bytes that waits or runs. One that failed after all attempts does not count. */
    async isPending(job: { id: string; etag: string }): Promise<boolean> {
      const state = await queue.getJobState(processUploadJobId(job))
      return state !== 'unknown' && state !== 'failed' && state !== 'completed'
    },
    /** Removes a waiting job. An active job continues and finds its upload erased. */
    async remove(job: { owner: string; id: string; etag: string }): Promise<void> {
      const jobId = processUploadJobId(job)
      await turns.giveBack({ jobId, owner: job.owner })
      await queue.remove(jobId)
    },
    /**
     * Returns the number of jobs by state, and when the longest waiting job was added, in ms since 1970. Waiting jobs
     * have a turn and are `prioritized`; those that stalled are `waiting`, and start first. Those that wait for another
     * attempt are `delayed`.
     */
    async counts() {
      const [counts, oldest] = await Promise.all([
        queue.getJobCounts('waiting', 'prioritized', 'active', 'delayed', 'failed'),
        oldestAddedAt(),
      ])
      const { waiting = 0, prioritized = 0, active = 0, delayed = 0, failed = 0 } = counts
      return { waiting, prioritized, active, delayed, failed, oldestAddedAt: oldest }
    },
    async close(): Promise<void> {
      await queue.close()
    },
  }
}

export type UploadQueue = ReturnType<typeof createUploadQueue>
