import type { Metrics } from '@millrace/shared/metrics/metrics.ts'
import type { ErrorCode } from '@millrace/shared/service/app-error.ts'

/** What is recorded of a request when its connection is done with it. */
export type RequestEnd = {
  /** The operation's name, as in log lines. */
  operation: string
  method: string
  /** Undefined: there was no response. */
  status: number | undefined
  /** In ms; undefined of an event stream, which lasts as long as its client listens. */
  ms: number | undefined
}
export type ObserveRequest = (request: RequestEnd) => void

/** All others, which no route of ours has, are `other`. */
const methods: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])
const statusClasses = ['1xx', '2xx', '3xx', '4xx', '5xx']

/** Creates the functions by which rooms of the API record what they do. */
export function createApiMetrics(metrics: Metrics) {
  return {
    observeRequest({ operation, method, status, ms }: RequestEnd): void {
      const statusClass =
        status === undefined ? 'none' : (statusClasses[Math.floor(status / 100) - 1] ?? 'none')
      const knownMethod = methods.has(method) ? method : 'other'
      metrics.counter('millrace_http_requests_total', operation, knownMethod, statusClass).add(1)
      if (ms !== undefined) {
        metrics.histogram('millrace_http_request_duration_seconds', operation).observe(ms / 1000)
      }
    },

    countProblem(code: ErrorCode): void {
      metrics.counter('millrace_http_problems_total', code).add(1)
    },

    /** @param read returns the number of active requests */
    watchActiveRequests(read: () => number): void {
      metrics.beforeRead(() => metrics.setGauge('millrace_http_requests_active', read()))
    },
  }
}
