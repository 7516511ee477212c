/** A service. Its processes have the families that name it. */
export type Service = 'api' | 'worker'

/** What is known of a metric family before anything is measured. */
export type MetricFamily = {
  type: 'counter' | 'gauge' | 'histogram'
  /** One sentence, without a full stop: the `HELP` line. */
  help: string
  /** Names of its labels. The values of each come from a short list: no id, owner, path or host is among them. */
  labels: readonly string[]
  /** Upper bounds of a histogram's buckets, in the family's unit. */
  buckets?: readonly number[]
  services: readonly Service[]
}

const both = ['api', 'worker'] as const
const api = ['api'] as const
const worker = ['worker'] as const

/**
 * Upper bounds in s. All processes have the same ones, so that histograms add up over the fleet. A call of Redis takes
 * less than the first, and a long poll of SQS (20 s) less than the last.
 */
const callBuckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5, 30] as const
/** From a session that Redis has to a large file on a slow line. */
const requestBuckets = [0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60, 600] as const
/** A photo takes a second, a huge animation a minute, an import up to an hour. */
const jobBuckets = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600] as const
const stepBuckets = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 300] as const
/** The timeout of a webhook is 15 s. */
const webhookBuckets = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15] as const

/**
 * The metric families of Millrace itself, by name. Names follow Prometheus' conventions: base units, `_total` for counters.
 * `docs/metrics.md` describes each; a test compares the two. Families of Node and of the process (`nodejs_…`, `process_…`)
 * are prom-client's own.
 */
export const metricFamilies = {
  millrace_build_info: {
    type: 'gauge',
    help: 'Always 1; the labels name the process, its version and that of Node',
    labels: ['service', 'name', 'version', 'node'],
    services: both,
  },
  millrace_event_loop_seconds_total: {
    type: 'counter',
    help: 'Time in which the event loop of the main thread was active or idle',
    labels: ['state'],
    services: both,
  },
  millrace_dependency_calls_total: {
    type: 'counter',
    help: 'Calls of Redis, S3 and SQS; each attempt counts',
    labels: ['dependency', 'operation', 'outcome'],
    services: both,
  },
  millrace_dependency_call_duration_seconds: {
    type: 'histogram',
    help: 'Time until Redis, S3 or SQS answered a call, with any outcome',
    labels: ['dependency', 'operation'],
    buckets: callBuckets,
    services: both,
  },
  millrace_queue_jobs: {
    type: 'gauge',
    help: 'Uploads in the queue of the fleet; every process has the same value',
    labels: ['state'],
    services: both,
  },
  millrace_queue_oldest_job_age_seconds: {
    type: 'gauge',
    help: 'How long the longest waiting job of the fleet has waited; every process has the same value',
    labels: [],
    services: both,
  },
  millrace_queue_slots: {
    type: 'gauge',
    help: 'Slots of all workers that are not draining; every process has the same value',
    labels: [],
    services: both,
  },
  millrace_http_requests_total: {
    type: 'counter',
    help: 'Requests by operation, method and class of the response status; none: the client disconnected before',
    labels: ['operation', 'method', 'status'],
    services: api,
  },
  millrace_http_request_duration_seconds: {
    type: 'histogram',
    help: 'Time from the headers of a request to the end of its response, without event streams',
    labels: ['operation'],
    buckets: requestBuckets,
    services: api,
  },
  millrace_http_requests_active: {
    type: 'gauge',
    help: 'Requests that have no complete response yet, event streams included',
    labels: [],
    services: api,
  },
  millrace_http_problems_total: {
    type: 'counter',
    help: 'Requests that were refused or failed, by error code',
    labels: ['code'],
    services: api,
  },
  millrace_jobs_active: {
    type: 'gauge',
    help: 'Upload jobs that this worker runs',
    labels: [],
    services: worker,
  },
  millrace_worker_slots: {
    type: 'gauge',
    help: 'Slots of this worker for upload jobs',
    labels: [],
    services: worker,
  },
  millrace_job_wait_seconds: {
    type: 'histogram',
    help: 'Time from the creation of a job to its first start',
    labels: ['job'],
    buckets: jobBuckets,
    services: worker,
  },
  millrace_job_duration_seconds: {
    type: 'histogram',
    help: 'Duration of one attempt of a job',
    labels: ['job', 'outcome'],
    buckets: jobBuckets,
    services: worker,
  },
  millrace_job_step_duration_seconds: {
    type: 'histogram',
    help: 'Duration of one step of an attempt to process an upload',
    labels: ['step', 'outcome'],
    buckets: stepBuckets,
    services: worker,
  },
  millrace_original_bytes_total: {
    type: 'counter',
    help: 'Bytes of originals that were read whole',
    labels: [],
    services: worker,
  },
  millrace_variant_bytes_total: {
    type: 'counter',
    help: 'Bytes of variants that were written',
    labels: [],
    services: worker,
  },
  millrace_webhook_deliveries_total: {
    type: 'counter',
    help: 'Deliveries of events to webhooks that ended, and attempts that are repeated',
    labels: ['outcome'],
    services: worker,
  },
  millrace_webhook_request_duration_seconds: {
    type: 'histogram',
    help: 'Duration of one request to a webhook, by class of the response status or by error',
    labels: ['result'],
    buckets: webhookBuckets,
    services: worker,
  },
  millrace_decoder_processes: {
    type: 'gauge',
    help: 'Decoder processes of this worker',
    labels: ['state'],
    services: worker,
  },
  millrace_decoder_resident_memory_bytes: {
    type: 'gauge',
    help: 'Resident memory of all decoder processes of this worker and their children',
    labels: [],
    services: worker,
  },
  millrace_decoder_libvips_peak_bytes: {
    type: 'gauge',
    help: 'Most memory for pixels that libvips (sharp) used at once in a decoder that is running',
    labels: [],
    services: worker,
  },
  millrace_decoder_memory_reserved_bytes: {
    type: 'gauge',
    help: 'Memory that is reserved for files and for decoders, by the estimates of admission',
    labels: ['kind'],
    services: worker,
  },
  millrace_decoder_memory_limit_bytes: {
    type: 'gauge',
    help: 'Memory that may be reserved for files and for decoders',
    labels: ['kind'],
    services: worker,
  },
} as const satisfies Record<string, MetricFamily>

export type MetricName = keyof typeof metricFamilies

/** The names of families of one type. */
export type NameOf<Type extends MetricFamily['type']> = {
  [Name in MetricName]: (typeof metricFamilies)[Name]['type'] extends Type ? Name : never
}[MetricName]

/** The values of a family's labels, in their order. */
export type LabelsOf<Name extends MetricName> = Texts<(typeof metricFamilies)[Name]['labels']>
type Texts<Names extends readonly string[]> = { -readonly [Index in keyof Names]: string }
