import type { S3Client } from '@aws-sdk/client-s3'
import type { SpanAttributes, Tracing } from './tracing.ts'

/** From this status on, S3 has failed. Below it, it has answered, for example that there is no such object. */
const firstServerError = 500

/**
 * Makes a client for S3 record each request as a span such as `S3.PutObject`, if a trace is active. Adds nothing while
 * tracing is off.
 *
 * It is a middleware of ours: OpenTelemetry's instrumentation of the SDK replaces modules while Node loads them, which needs
 * a loader hook before the first import, and records keys, which name owners.
 */
export function traceS3(s3: S3Client, tracing: Tracing): void {
  if (!tracing.isOn) return
  s3.middlewareStack.add(
    (next, { commandName = '' }) =>
      (args) => {
        const method = commandName.replace(/Command$/, '')
        const attributes = {
          'rpc.system': 'aws-api',
          'rpc.service': 'S3',
          'rpc.method': method,
          ...objectKind('input' in args ? args.input : undefined),
        }
        return tracing.span(
          `S3.${method}`,
          async (span) => {
            try {
              const result = await next(args)
              span.set(withStatus(statusOf(result.response)))
              return result
            } catch (error) {
              span.set(withStatus(statusOfError(error)))
              throw error
            }
          },
          {
            kind: 'client',
            attributes,
            isAnswer: (error) => (statusOfError(error) ?? 999) < firstServerError,
          },
        )
      },
    // Innermost: each attempt of the SDK is a span, and signing a URL is none.
    { step: 'deserialize', name: 'tracing', priority: 'high' },
  )
}

/** Returns the kind of the object that a request is about: the first part of its key. The rest names an owner. */
function objectKind(input: unknown): SpanAttributes {
  if (typeof input !== 'object' || input === null) return {}
  const key = 'Key' in input ? input.Key : 'Prefix' in input ? input.Prefix : undefined
  const [, kind] = typeof key === 'string' ? (/^([a-z]{1,16})\//.exec(key) ?? []) : []
  return kind === undefined ? {} : { 'millrace.object': kind }
}

function statusOf(response: unknown): number | undefined {
  if (typeof response !== 'object' || response === null || !('statusCode' in response)) return undefined
  return typeof response.statusCode === 'number' ? response.statusCode : undefined
}

/** Returns the status of S3's response to a request that failed, or undefined if there was none. */
function statusOfError(error: unknown): number | undefined {
  if (!(error instanceof Error) || !('$metadata' in error)) return undefined
  const { $metadata: metadata } = error
  if (typeof metadata !== 'object' || metadata === null || !('httpStatusCode' in metadata)) return undefined
  return typeof metadata.httpStatusCode === 'number' ? metadata.httpStatusCode : undefined
}

function withStatus(status: number | undefined): SpanAttributes {
  return status === undefined ? {} : { 'http.response.status_code': status }
}
