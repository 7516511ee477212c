import type { JobName } from '@millrace/shared/jobs/job-name.ts'
import type { Metrics } from '@millrace/shared/metrics/metrics.ts'

/**
 * How an attempt of a job ended. `ready` and `rejected` are outcomes of an upload. `done`: any other success, also of an upload
 * that was already processed, replaced or erased. `failed`: there is no further attempt. `retried`: there is one. `handed-back`: by
 * a fault of Redis, S3 or SQS, or because the worker stops; it does not count. `moved`: it waits, as a webhook's next attempt.
 */
export type AttemptOutcome = 'ready' | 'rejected' | 'done' | 'failed' | 'retried' | 'handed-back' | 'moved'

/** One attempt of a job. Durations in ms. */
export type AttemptEnd = {
  job: JobName | 'unknown'
  outcome: AttemptOutcome
  ms: number
  /** How long the job waited for its first start; undefined if this was not the first. */
  waitMs: number | undefined
  /** Steps that were measured, and the bytes that they read or wrote. */
  steps: readonly { name: string; ms: number; bytes?: number }[]
}
export type ObserveAttempt = (attempt: AttemptEnd) => void

/** How a delivery ended, or `retried` after an attempt that is followed by another one. */
export type DeliveryOutcome = 'delivered' | 'gave-up' | 'dropped' | 'retried'

/** Records what becomes of webhooks. */
export type RecordWebhooks = {
  countDelivery(outcome: DeliveryOutcome): void
  /** @param result the duration in ms, and the response's status or the error's name */
  observeWebhookRequest(result: { ms: number } & ({ status: number } | { error: string })): void
}

/** Records nothing, for tests of single rooms. */
export const ignoreWebhooks: RecordWebhooks = {
  countDelivery: () => undefined,
  observeWebhookRequest: () => undefined,
}

/** What the decoders of this worker use. Sizes in bytes. */
export type DecoderUsage = {
  idle: number
  busy: number
  rssBytes: number
  libvipsPeakBytes: number
  reserved: { files: number; decoders: number }
  limits: { files: number; decoders: number }
}

/** Creates the functions by which rooms of the worker record what they do. */
export function createWorkerMetrics(metrics: Metrics) {
  const { counter, histogram, setGauge } = metrics
  const recordWebhooks: RecordWebhooks = {
    countDelivery: (outcome) => counter('millrace_webhook_deliveries_total', outcome).add(1),
    observeWebhookRequest(result) {
      const label = 'status' in result ? `${Math.floor(result.status / 100)}xx` : result.error
      histogram('millrace_webhook_request_duration_seconds', label).observe(result.ms / 1000)
    },
  }

  return {
    recordWebhooks,

    observeAttempt({ job, outcome, ms, waitMs, steps }: AttemptEnd): void {
      histogram('millrace_job_duration_seconds', job, outcome).observe(ms / 1000)
      if (waitMs !== undefined) histogram('millrace_job_wait_seconds', job).observe(waitMs / 1000)
      for (const step of steps) {
        histogram('millrace_job_step_duration_seconds', step.name, outcome).observe(step.ms / 1000)
        if (step.name === 'read') counter('millrace_original_bytes_total').add(step.bytes ?? 0)
        if (step.name === 'write') counter('millrace_variant_bytes_total').add(step.bytes ?? 0)
      }
    },

    /** @param read returns what the decoders use now; it reads /proc, some 30 µs for each process */
    watchDecoders(read: () => DecoderUsage): void {
      metrics.beforeRead(() => {
        const { idle, busy, rssBytes, libvipsPeakBytes, reserved, limits } = read()
        setGauge('millrace_decoder_processes', idle, 'idle')
        setGauge('millrace_decoder_processes', busy, 'busy')
        setGauge('millrace_decoder_resident_memory_bytes', rssBytes)
        setGauge('millrace_decoder_libvips_peak_bytes', libvipsPeakBytes)
        for (const kind of ['files', 'decoders'] as const) {
          setGauge('millrace_decoder_memory_reserved_bytes', reserved[kind], kind)
          setGauge('millrace_decoder_memory_limit_bytes', limits[kind], kind)
        }
      })
    },

    /** @param slots of this worker. @param read returns the number of active upload jobs */
    watchJobs(slots: number, read: () => number): void {
      setGauge('millrace_worker_slots', slots)
      metrics.beforeRead(() => setGauge('millrace_jobs_active', read()))
    },
  }
}
