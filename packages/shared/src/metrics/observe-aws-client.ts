import type { S3Client } from '@aws-sdk/client-s3'
import type { SQSClient } from '@aws-sdk/client-sqs'
import { outcomeOf } from './call-outcome.ts'
import type { CallsOf, Dependency } from './metrics.ts'

/** Within the SDK's retries, so each attempt counts. Not reached when a URL is only signed. */
const place = { step: 'deserialize', name: 'recordCall', priority: 'high' } as const

/**
 * Records the requests of a client of S3 by operation: count, outcome, and the time until the response's headers. Each
 * attempt of the SDK counts, so that failures show which a repetition hides.
 */
export function observeS3(client: S3Client, callsOf: CallsOf): void {
  client.middlewareStack.add(recordCalls('s3', callsOf), place)
}

/** Records the requests of a client of SQS as `observeS3` does. */
export function observeSqs(client: SQSClient, callsOf: CallsOf): void {
  client.middlewareStack.add(recordCalls('sqs', callsOf), place)
}

function recordCalls(dependency: Dependency, callsOf: CallsOf) {
  return <Args, Output>(
    next: (args: Args) => Promise<Output>,
    { commandName = 'unknown' }: { commandName?: string },
  ) => {
    const record = callsOf(dependency, commandName.replace(/Command$/, ''))
    return async (args: Args): Promise<Output> => {
      const startedAtMs = performance.now()
      const elapsed = () => (performance.now() - startedAtMs) / 1000
      try {
        const output = await next(args)
        record('ok', elapsed())
        return output
      } catch (error) {
        record(outcomeOf(error), elapsed())
        throw error
      }
    }
  }
}
