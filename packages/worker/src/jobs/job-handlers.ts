import { ImportUploadJob } from '@millrace/shared/jobs/import-upload-job.ts'
import { JobName } from '@millrace/shared/jobs/job-name.ts'
import { ProcessUploadJob } from '@millrace/shared/jobs/process-upload-job.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import { type Job, UnrecoverableError, WaitingError } from 'bullmq'
import type { Logger } from 'pino'
import Type from 'typebox'
import { Compile } from 'typebox/compile'
import type { FinishImport } from '../imports/finish-import.ts'
import type { ImportUpload } from '../imports/import-upload.ts'
import type { FailUpload } from '../processing/fail-upload.ts'
import type { Attempt, ProcessUpload } from '../processing/process-upload.ts'
import type { ActiveJobs, AttemptEnd } from './active-jobs.ts'
import type { OldestJob } from './oldest-job.ts'

/**
 * A job that was lost with its worker this often is tried out in quarantine before it is worked on. Once
 * happens to anybody; the second time it may be the image.
 */
const suspectAfterStalls = 2

type UploadJob = Job<unknown, void>

/** What there is to do for a kind of job. */
export type JobHandler = {
  /** @throws UnrecoverableError where the payload is not of the kind */
  run(job: UploadJob, attempt: Attempt): Promise<void>
  /** Says that the job will not be tried again, in the place where its outcome is looked for. */
  onFailed(job: UploadJob, error: unknown, log: Logger): Promise<void>
}

const processUploadJob = Compile(ProcessUploadJob)
const importUploadJob = Compile(ImportUploadJob)
/** What payloads of all kinds have in common. */
const anyJob = Compile(
  Type.Pick(ImportUploadJob, ['owner', 'id', 'traceparent'], { additionalProperties: true }),
)

/**
 * Every job's handler, under the job's name.
 * @throws Error where a name has none
 */
export function createJobHandlers(deps: {
  processUpload: ProcessUpload
  failUpload: FailUpload
  importUpload: ImportUpload
  finishImport: FinishImport
}) {
  const handlers = {
    'process-upload': {
      run: (job, attempt) => deps.processUpload(readPayload(processUploadJob, job), attempt),
      onFailed: (job, error, log) => deps.failUpload(readPayload(processUploadJob, job), error, log),
    },
    'import-upload': {
      run: (job, attempt) => deps.importUpload(readPayload(importUploadJob, job), attempt),
      onFailed: (job, error) => deps.finishImport(readPayload(importUploadJob, job), 'failed', error),
    },
  } satisfies Record<JobName, JobHandler>
  const found: ReadonlyMap<string, JobHandler> = new Map(Object.entries(handlers))
  for (const { const: name } of JobName.anyOf) {
    if (!found.has(name)) throw new Error(`The job ${name} has no handler.`)
  }
  return found
}

export type JobHandlers = ReturnType<typeof createJobHandlers>

/**
 * The function that BullMQ calls for each job.
 *
 * It must name three parameters: BullMQ counts them, and makes an AbortSignal only for a processor that
 * takes one.
 *
 * @param deps.activeJobs is told of every attempt
 * @param deps.oldestJob is, too
 */
export function createProcessor(deps: {
  handlers: JobHandlers
  activeJobs: ActiveJobs
  oldestJob: Pick<OldestJob, 'begin'>
  log: Logger
}) {
  const { handlers, activeJobs, oldestJob, log } = deps
  return async function processor(
    job: UploadJob,
    token: string | undefined,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const handler = handlers.get(job.name)
    if (!handler) throw new UnrecoverableError(`There is no handler for the job ${job.name}.`)
    if (!signal) throw new Error('BullMQ gave no signal.')
    const end = activeJobs.begin()
    const endWork = oldestJob.begin()
    let how: AttemptEnd = 'finished'
    const jobLog = log.child({ jobId: job.id, ...traceFields(job.data) })
    try {
      const suspect = job.stalledCounter >= suspectAfterStalls
      await orAborted(handler.run(job, { log: jobLog, signal, suspect }), signal)
    } catch (error) {
      if (signal.aborted) {
        how = 'unfinished'
        // Not an attempt that failed: the next worker begins anew.
        await job.moveToWait(token)
        jobLog.info({ event: 'handed-back' }, 'handed back')
        throw new WaitingError()
      }
      if (!isFinal(job, error)) {
        how = 'unfinished'
        jobLog.warn({ err: error, event: 'attempt-failed', attempt: job.attemptsMade + 1 }, 'tried again')
        throw error
      }
      jobLog.error({ err: error, event: 'given-up', attempt: job.attemptsMade + 1 }, 'given up')
      // Should this fail too, the job stays failed with its upload unfinished, and reconciliation revives it.
      await handler.onFailed(job, error, jobLog)
      throw error instanceof UnrecoverableError ? error : new UnrecoverableError(messageOf(error))
    } finally {
      end(how)
      endWork()
    }
  }
}

function readPayload<Payload>(kind: { Check(value: unknown): value is Payload }, job: UploadJob): Payload {
  if (kind.Check(job.data)) return job.data
  throw new UnrecoverableError(`The payload of the job ${job.name} is not in the expected form.`)
}

function isFinal(job: UploadJob, error: unknown): boolean {
  if (error instanceof UnrecoverableError) return true
  if (error instanceof AppError && !error.retryable) return true
  return job.attemptsMade + 1 >= (job.opts.attempts ?? 1)
}

/** Settles with the work, or rejects at once when aborted: an encoder cannot be stopped in its middle. */
async function orAborted(work: Promise<void>, signal: AbortSignal): Promise<void> {
  const aborted = Promise.withResolvers<never>()
  const abort = () => aborted.reject(signal.reason)
  signal.addEventListener('abort', abort, { once: true })
  try {
    await Promise.race([work, aborted.promise])
  } finally {
    signal.removeEventListener('abort', abort)
  }
}

/** What lines of a job's log can be found by. */
function traceFields(payload: unknown): object {
  if (!anyJob.Check(payload)) return {}
  const { id, owner, traceparent } = payload
  return { uploadId: id, owner, ...(traceparent && { traceparent }) }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
