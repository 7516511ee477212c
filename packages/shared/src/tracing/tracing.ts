import type { Telemetry } from 'bullmq'
import type { Logger } from 'pino'

/** Attributes of a span by name. Only names that `exported-span.ts` lists leave the process. */
export type SpanAttributes = Record<string, string | number>

/** A span that is under way. */
export type ActiveSpan = {
  /** Adds attributes. */
  set(attributes: SpanAttributes): void
  /** Marks the span as failed. @param type names the error, without a message: messages may contain user data */
  fail(type: string): void
}

export type SpanOptions = {
  /** `client` for a request to another service. Default: a step within this process. */
  kind?: 'client' | 'internal'
  attributes?: SpanAttributes
  /** In ms since 1970, if the work began before its trace was known. Default: now. */
  startedAtMs?: number
  /** Whether an error is an answer rather than a failure. Default: each error is a failure. */
  isAnswer?: (error: unknown) => boolean
}

/**
 * What rooms use of tracing. `noTracing` is used unless traces are exported, so rooms never check whether they are.
 */
export type Tracing = {
  isOn: boolean
  /**
   * Runs work as a span of the active trace. Without an active trace, it only runs the work: what no upload or request
   * caused, such as polls and sweeps, is not traced.
   */
  span<Result>(
    name: string,
    work: (span: ActiveSpan) => Result | Promise<Result>,
    options?: SpanOptions,
  ): Promise<Result>
  /**
   * Runs work within the trace that began with an upload's first request. If another trace is active, such as that of a
   * later request for the upload, the next span links to it.
   * @param traceparent of the upload; an invalid one is ignored
   */
  within<Result>(traceparent: string | undefined, work: () => Result): Result
  /** Returns the active span as a `traceparent`, or undefined if there is none. */
  traceparent(): string | undefined
  /** Returns the id of the active trace, for log lines. */
  traceId(): string | undefined
  /** For the queues and workers of BullMQ. It carries the trace in the options of jobs. */
  telemetry: Telemetry | undefined
}

/** The tracing of a process, with what `main.ts` does about it. */
export type ProcessTracing = Tracing & {
  /** Logs failures of the export, at most once a minute. */
  reportTo(log: Pick<Logger, 'warn'>): void
  /** Exports what is left. Never rejects, and gives up after a while. */
  close(): Promise<void>
}

/** A span that is not recorded. */
export const unrecorded: ActiveSpan = { set: () => undefined, fail: () => undefined }

/** Traces nothing. */
export const noTracing: ProcessTracing = Object.freeze({
  isOn: false,
  span: async <Result>(_name: string, work: (span: ActiveSpan) => Result | Promise<Result>) =>
    work(unrecorded),
  within: <Result>(_traceparent: string | undefined, work: () => Result) => work(),
  traceparent: () => undefined,
  traceId: () => undefined,
  telemetry: undefined,
  reportTo: () => undefined,
  close: async () => undefined,
})
