/**
 * W3C Trace Context, 3.2.2: version, trace id, parent id and flags in lowercase hex. Version ff and ids of zeros only are
 * invalid. A later version may append fields, which only that version can read.
 */
const format = /^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/

/** Whether a value is a valid `traceparent`. It may come from a client, from object metadata or from a job. */
export function isTraceparent(value: unknown): value is string {
  return typeof value === 'string' && format.test(value)
}

/** Returns the trace id of a valid `traceparent`: 32 hex digits. */
export function traceIdOf(traceparent: string): string {
  return traceparent.slice(3, 35)
}
