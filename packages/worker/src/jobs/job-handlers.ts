import { isTransient } from '@millrace/shared/connections/outage.ts'
import { isUnreadable, unreadableRecord } from '@millrace/shared/connections/stored-json.ts'
import { ImportUploadJob } from '@millrace/shared/jobs/import-upload-job.ts'
import { JobName } from '@millrace/shared/jobs/job-name.ts'
import { ProcessUploadJob } from '@millrace/shared/jobs/process-upload-job.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import { noTracing, type Tracing } from '@millrace/shared/tracing/tracing.ts'
import { DeliverEventJob, DistributeEventJob } from '@millrace/shared/webhooks/delivery-queue.ts'
import { DelayedError, type Job, UnrecoverableError, WaitingChildrenError } from 'bullmq'
import type { Logger } from 'pino'
import Type from 'typebox'
import { Compile } from 'typebox/compile'
import type { FinishImport } from '../imports/finish-import.ts'
import type { ImportUpload } from '../imports/import-upload.ts'
import type { AttemptOutcome, ObserveAttempt } from '../metrics/metrics.ts'
import type { FailUpload } from '../processing/fail-upload.ts'
import type { Attempt, ProcessUpload } from '../processing/process-upload.ts'
import { createReport } from '../processing/report.ts'
import type { Webhooks } from '../webhooks/webhooks.ts'
import type { ActiveJobs } from './active-jobs.ts'
import type { OldestJob } from './oldest-job.ts'
import type { OwnerSlots } from './owner-slots.ts'

/** Delays of a job that is handed back, in ms: doubled with each start, up to the limit. */
const handBackDelays = { first: 1_000, limit: 30_000 }

type UploadJob = Job<unknown, void>

/** The functions for one job name. */
export type JobHandler = {
  /**
   * Runs one attempt.
   * @throws UnrecoverableError if the payload does not match the schema, AppError `unreadable_record` if the payload or
   *   stored data is of a newer version; DelayedError or WaitingChildrenError if it has moved the job itself
   */
  run(job: UploadJob, attempt: Attempt): Promise<void>
  /** Records the upload's outcome after the last attempt failed. */
  onFailed(job: UploadJob, error: unknown, attempt: Attempt): Promise<void>
}

const processUploadJob = Compile(ProcessUploadJob)
const importUploadJob = Compile(ImportUploadJob)
const distributeEventJob = Compile(DistributeEventJob)
const deliverEventJob = Compile(DeliverEventJob)
const jobName = Compile(JobName)
/** Outcomes after which the job goes on. */
const unfinished: ReadonlySet<AttemptOutcome> = new Set(['retried', 'handed-back', 'moved'])
/** A payload of a newer version. */
const newerPayload = Compile(Type.Object({ version: Type.Integer({ minimum: 2 }) }))
/** The fields that all payloads have. */
const commonPayload = Compile(
  Type.Pick(ImportUploadJob, ['owner', 'id', 'traceparent'], { additionalProperties: true }),
)

/**
 * Creates the handlers by job name.
 * @throws Error if a job name has no handler
 */
export function createJobHandlers(deps: {
  processUpload: ProcessUpload
  failUpload: FailUpload
  importUpload: ImportUpload
  finishImport: FinishImport
  runDistribution: Webhooks['runDistribution']
  runDelivery: Webhooks['runDelivery']
  giveUpDelivery: Webhooks['giveUpDelivery']
}) {
  const handlers = {
    'process-upload': {
      run: (job, attempt) => deps.processUpload(readPayload(processUploadJob, job), attempt),
      onFailed: (job, error, attempt) => deps.failUpload(readPayload(processUploadJob, job), error, attempt),
    },
    'import-upload': {
      run: (job, attempt) => deps.importUpload(readPayload(importUploadJob, job), attempt),
      onFailed: (job, error) => deps.finishImport(readPayload(importUploadJob, job), 'failed', error),
    },
    'distribute-event': {
      run: (job, attempt) => deps.runDistribution(job, readPayload(distributeEventJob, job), attempt),
      // The event stays in the outbox, and the relay adds another job.
      async onFailed() {},
    },
    'deliver-event': {
      run: (job, attempt) => deps.runDelivery(job, readPayload(deliverEventJob, job), attempt),
      onFailed: (job) => deps.giveUpDelivery(readPayload(deliverEventJob, job)),
    },
  } satisfies Record<JobName, JobHandler>
  const byName: ReadonlyMap<string, JobHandler> = new Map(Object.entries(handlers))
  for (const { const: name } of JobName.anyOf) {
    if (!byName.has(name)) throw new Error(`The job ${name} has no handler.`)
  }
  return byName
}

export type JobHandlers = ReturnType<typeof createJobHandlers>

/** Handles jobs with a name that only a newer version knows: it leaves them to a worker of that version. */
const unknownJobHandler: JobHandler = {
  async run(job) {
    throw unreadableRecord(`The job ${job.name} has no handler.`)
  },
  async onFailed() {},
}

/**
 * Creates the function that BullMQ calls for each job.
 *
 * It must declare three parameters: BullMQ counts them, and creates an AbortSignal only for a processor with three.
 *
 * @param deps.activeJobs counts each attempt
 * @param deps.oldestJob measures each attempt
 * @param deps.observeAttempt records each attempt; undefined: no metrics
 * @param deps.ownerSlots limits the slots of each owner; undefined: no limit
 * @param deps.tracing makes each attempt a span of its upload's trace; default: nothing is traced
 */
export function createProcessor(deps: {
  handlers: JobHandlers
  activeJobs: ActiveJobs
  oldestJob: Pick<OldestJob, 'begin'>
  observeAttempt?: ObserveAttempt | undefined
  ownerSlots?: OwnerSlots
  log: Logger
  tracing?: Tracing
}) {
  const { handlers, activeJobs, oldestJob, ownerSlots, log, tracing = noTracing } = deps
  return async function processor(
    job: UploadJob,
    token: string | undefined,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const handler = handlers.get(job.name) ?? unknownJobHandler
    if (!signal) throw new Error('BullMQ passed no AbortSignal to the processor.')
    const owner = commonPayload.Check(job.data) ? job.data.owner : undefined
    const freeSlot = owner === undefined ? () => undefined : takeSlot(owner)
    if (!freeSlot) return await moveBack(job, token, log.child({ jobId: job.id, owner }))
    const endActive = activeJobs.begin()
    const endOldest = oldestJob.begin()
    const startedAtMs = performance.now()
    const waitMs = waitBeforeFirstStart(job)
    let outcome: AttemptOutcome = 'failed'
    const jobLog = log.child({ job: job.name, jobId: job.id, ...logFields(job.data) })
    const report = createReport({ attempt: job.attemptsMade + 1, span: tracing.span })
    const attempt = { log: jobLog, signal, report }
    try {
      await untilAborted(
        traced(job, () => handler.run(job, attempt)),
        signal,
      )
      outcome = attempt.report.outcome() ?? 'done'
    } catch (error) {
      if (hasMovedJob(error)) {
        outcome = 'moved'
        throw error
      }
      if (signal.aborted) {
        outcome = 'handed-back'
        // Not counted as a failed attempt. The next worker starts the job again. Not `moveToWait`, which does not wake idle
        // workers if the job has a priority (BullMQ 6.7).
        await job.moveToDelayed(Date.now(), token)
        jobLog.info({ event: 'handed-back' }, 'job handed back to the queue')
        throw new DelayedError()
      }
      if (isHandedBack(error)) {
        outcome = 'handed-back'
        return await handBackLater(job, token, error, jobLog)
      }
      if (!isFinal(job, error)) {
        outcome = 'retried'
        jobLog.warn(
          { err: error, event: 'attempt-failed', attempt: job.attemptsMade + 1 },
          'attempt failed, job is retried',
        )
        throw error
      }
      jobLog.error({ err: error, event: 'given-up', attempt: job.attemptsMade + 1 }, 'job failed')
      try {
        await handler.onFailed(job, error, attempt)
      } catch (failure) {
        // In an outage, the job must not end before its upload. Otherwise the job stays failed and its upload unfinished,
        // and reconciliation restarts the job.
        if (isHandedBack(failure)) {
          outcome = 'handed-back'
          return await handBackLater(job, token, failure, jobLog)
        }
        throw failure
      }
      throw error instanceof UnrecoverableError ? error : new UnrecoverableError(messageOf(error))
    } finally {
      endActive(unfinished.has(outcome) ? 'unfinished' : 'finished')
      deps.observeAttempt?.({
        job: jobName.Check(job.name) ? job.name : 'unknown',
        outcome,
        ms: performance.now() - startedAtMs,
        waitMs,
        steps: attempt.report.steps(),
      })
      endOldest()
      freeSlot()
    }
  }

  /** Runs an attempt as a span. BullMQ's own span is its parent, if whoever added the job was traced. */
  function traced(job: UploadJob, run: () => Promise<void>): Promise<void> {
    if (!tracing.isOn) return run()
    const { traceparent, id } = commonPayload.Check(job.data) ? job.data : {}
    const attributes = id === undefined ? {} : { 'millrace.upload.id': id }
    return tracing.within(traceparent, () =>
      tracing.span(job.name, run, { attributes, isAnswer: hasMovedJob }),
    )
  }

  function takeSlot(owner: string): (() => void) | undefined {
    return ownerSlots ? ownerSlots.take(owner) : () => undefined
  }
}

/**
 * Moves a job back whose owner uses its share of the slots, without counting the attempt. The next job takes the slot. The
 * delay grows, so that the many jobs of such an owner are not started over and over.
 * @throws DelayedError always
 */
async function moveBack(job: UploadJob, token: string | undefined, log: Logger): Promise<never> {
  return delayJob(job, token, { delayMs: handBackDelayMs(job), log })
}

/**
 * Hands a job back because of an outage or because it needs a worker of another version, without counting the attempt:
 * neither is the file's fault, however long it lasts. The delay keeps the job from starting over and over meanwhile.
 * @throws DelayedError always: BullMQ then leaves the job where it is
 */
async function handBackLater(
  job: UploadJob,
  token: string | undefined,
  error: unknown,
  log: Logger,
): Promise<never> {
  const delayMs = handBackDelayMs(job)
  if (isUnreadable(error)) {
    log.warn(
      { err: error, event: 'unreadable', delayMs },
      'the job needs a worker of another version, it is handed back',
    )
  } else log.warn({ err: error, event: 'outage', delayMs }, 'a dependency failed, the job is handed back')
  return delayJob(job, token, { delayMs, log })
}

/** @throws DelayedError always */
async function delayJob(
  job: UploadJob,
  token: string | undefined,
  { delayMs, log }: { delayMs: number; log: Logger },
): Promise<never> {
  try {
    await job.moveToDelayed(Date.now() + delayMs, token)
  } catch (handBackError) {
    // Redis fails too. The job's lock expires, and a worker takes the job again as stalled.
    log.warn({ err: handBackError, event: 'hand-back-failed' }, 'the job was not handed back, it will stall')
  }
  throw new DelayedError()
}

/** Returns a delay in ms, shortened by up to half so that jobs do not all start at the same time. */
function handBackDelayMs(job: UploadJob): number {
  // Starts that were not counted as an attempt: hand-backs and stalls.
  const uncounted = Math.max(0, job.attemptsStarted - job.attemptsMade - 1)
  const delayMs = Math.min(handBackDelays.limit, handBackDelays.first * 2 ** Math.min(uncounted, 10))
  return Math.round(delayMs * (1 - Math.random() / 2))
}

/**
 * Whether an attempt failed through no fault of its file: in an outage, because other processes changed the upload, or
 * because another version wrote something that this one cannot read.
 */
function isHandedBack(error: unknown): boolean {
  return isTransient(error) || isUnreadable(error)
}

function readPayload<Payload>(schema: { Check(value: unknown): value is Payload }, job: UploadJob): Payload {
  if (schema.Check(job.data)) return job.data
  if (newerPayload.Check(job.data)) {
    throw unreadableRecord(`The payload of the job ${job.name} has version ${job.data.version}.`)
  }
  throw new UnrecoverableError(`The payload of the job ${job.name} does not match its schema.`)
}

/** Returns how long a job waited, in ms; undefined if it was started before. Clocks of two machines may differ. */
function waitBeforeFirstStart(job: UploadJob): number | undefined {
  return job.attemptsStarted > 1 ? undefined : Math.max(0, Date.now() - job.timestamp)
}

function isFinal(job: UploadJob, error: unknown): boolean {
  if (error instanceof UnrecoverableError) return true
  if (error instanceof AppError && !error.retryable) return true
  return job.attemptsMade + 1 >= (job.opts.attempts ?? 1)
}

/** Resolves with the work, or rejects at once if the signal aborts, whatever the work still waits for. */
async function untilAborted(work: Promise<void>, signal: AbortSignal): Promise<void> {
  const aborted = Promise.withResolvers<never>()
  const abort = () => aborted.reject(signal.reason)
  signal.addEventListener('abort', abort, { once: true })
  // A signal that aborted before sends no event.
  if (signal.aborted) abort()
  try {
    await Promise.race([work, aborted.promise])
  } finally {
    signal.removeEventListener('abort', abort)
  }
}

/** Whether an error only tells BullMQ that the job was moved. */
function hasMovedJob(error: unknown): boolean {
  return error instanceof DelayedError || error instanceof WaitingChildrenError
}

/** Returns the fields by which a job's log lines can be found. */
function logFields(payload: unknown): object {
  if (!commonPayload.Check(payload)) return {}
  const { id, owner, traceparent } = payload
  return { uploadId: id, owner, ...(traceparent && { traceparent }) }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
