import type { Redis } from 'ioredis'
import Type, { type Static } from 'typebox'
import { Compile } from 'typebox/compile'
import { AppError } from '../service/app-error.ts'

/** SQS keeps a message for at most 14 days, in both queues together. In seconds. */
const lifeSeconds = 14 * 24 * 60 * 60

/** Why handling a message of S3's events failed last. */
export const ArrivalFailure = Type.Object({
  code: Type.String({ description: 'of the error catalogue, or the name of another error' }),
  at: Type.String({ description: 'ISO 8601, UTC' }),
})
export type ArrivalFailure = Static<typeof ArrivalFailure>

const validator = Compile(ArrivalFailure)

/**
 * Keeps why messages failed that are about to become dead letters, for the operator who decides about them:
 *
 *   {prefix}:arrival-failure:{messageId}   JSON
 *
 * Only a hint: a Redis that lost it changes nothing.
 */
export function createArrivalFailures({ redis, prefix }: { redis: Redis; prefix: string }) {
  const keyOf = (messageId: string) => `${prefix}:arrival-failure:${messageId}`

  return {
    /** Stores the name of an error. Its message may contain addresses or keys, and is in the log. */
    async record(messageId: string, error: unknown): Promise<void> {
      const failure: ArrivalFailure = { code: codeOf(error), at: new Date().toISOString() }
      await redis.set(keyOf(messageId), JSON.stringify(failure), 'EX', lifeSeconds)
    },

    /** Returns the failures of messages in their order; undefined if none is known. */
    async find(messageIds: readonly string[]): Promise<(ArrivalFailure | undefined)[]> {
      if (messageIds.length === 0) return []
      const texts = await redis.mget(messageIds.map(keyOf))
      return texts.map(parse)
    },
  }
}

export type ArrivalFailures = ReturnType<typeof createArrivalFailures>

function codeOf(error: unknown): string {
  if (error instanceof AppError) return error.code
  return error instanceof Error ? error.name : typeof error
}

function parse(text: string | null): ArrivalFailure | undefined {
  try {
    const failure: unknown = JSON.parse(text ?? '')
    return validator.Check(failure) ? failure : undefined
  } catch {
    return undefined
  }
}
