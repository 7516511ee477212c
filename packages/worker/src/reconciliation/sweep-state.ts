import {
  GetObjectCommand,
  NoSuchKey,
  PutObjectCommand,
  type S3Client,
  S3ServiceException,
} from '@aws-sdk/client-s3'
import { sweepStateKey } from '@millrace/shared/ledger/object-keys.ts'
import type { Logger } from 'pino'
import Type, { type Static } from 'typebox'
import { Compile } from 'typebox/compile'

const Timestamp = Type.String({ description: 'ISO 8601, UTC' })

/** The stages of a run, in their order. Erasures are first: what they erase needs no other correction. */
export const SweepStageName = Type.Union([
  Type.Literal('erasures'),
  Type.Literal('objects'),
  Type.Literal('owners'),
  Type.Literal('multipart'),
  Type.Literal('unfinished'),
  Type.Literal('variants'),
])
export type SweepStageName = Static<typeof SweepStageName>
export const stageNames = SweepStageName.anyOf.map(({ const: name }) => name)

/** How far the current run is, and what the last completed one verified. */
export const SweepState = Type.Object({
  version: Type.Literal(1),
  startedAt: Timestamp,
  stage: SweepStageName,
  cursor: Type.String({ description: 'where the stage continues; empty: at its start' }),
  counts: Type.Record(Type.String(), Type.Integer({ minimum: 0 })),
  /** The oldest original of this run whose manifest describes other bytes. */
  unsettledSince: Type.Optional(Timestamp),
  /** Completed runs verified the manifests of all older originals. */
  verifiedBefore: Type.Optional(Timestamp),
  /** The start of the last completed run that listed variants. */
  variantsListedAt: Type.Optional(Timestamp),
  completedAt: Type.Optional(Timestamp),
})
export type SweepState = Static<typeof SweepState>

const validator = Compile(SweepState)

/** Statuses of a conditional write that failed, because another process wrote. */
const conflictStatuses: ReadonlySet<number | undefined> = new Set([404, 409, 412])

/** Returns the state of a new run, which continues what the last one verified. */
export function newSweepState(last: SweepState | undefined, nowMs: number): SweepState {
  return {
    version: 1,
    startedAt: new Date(nowMs).toISOString(),
    stage: 'erasures',
    cursor: '',
    counts: {},
    ...(last?.verifiedBefore !== undefined && { verifiedBefore: last.verifiedBefore }),
    ...(last?.variantsListedAt !== undefined && { variantsListedAt: last.variantsListedAt }),
  }
}

/**
 * Keeps the sweep's state in S3, so that a run continues after its worker died, also if Redis lost its data. Each write
 * succeeds only if S3 still has what this process read or wrote last. So a worker that was suspended cannot set another
 * one's run back, also if Redis lost the lease.
 */
export function createSweepStateStore({ s3, bucket, log }: { s3: S3Client; bucket: string; log: Logger }) {
  let etag: string | undefined

  /** @returns undefined if S3 has no state */
  async function readText(): Promise<{ text: string; etag: string | undefined } | undefined> {
    try {
      const object = await s3.send(new GetObjectCommand({ Bucket: bucket, Key: sweepStateKey() }))
      return { text: (await object.Body?.transformToString()) ?? '', etag: object.ETag }
    } catch (error) {
      if (error instanceof NoSuchKey) return undefined
      throw error
    }
  }

  return {
    /** @returns undefined if there was no sweep yet, or if this version cannot read its state */
    async read(): Promise<SweepState | undefined> {
      const stored = await readText()
      etag = stored?.etag
      const state = stored && parse(stored.text)
      if (stored && !state)
        log.warn({ event: 'sweep-state-unknown' }, 'the state of the sweep cannot be read')
      return state
    },

    /** @throws Error if another process wrote the state since this one read it */
    async write(state: SweepState): Promise<void> {
      const text = JSON.stringify(state)
      try {
        const written = await s3.send(
          new PutObjectCommand({
            Bucket: bucket,
            Key: sweepStateKey(),
            Body: text,
            ContentType: 'application/json',
            ...(etag === undefined ? { IfNoneMatch: '*' } : { IfMatch: etag }),
          }),
        )
        etag = written.ETag
      } catch (error) {
        const status = error instanceof S3ServiceException ? error.$metadata.httpStatusCode : undefined
        if (!conflictStatuses.has(status)) throw error
        // The SDK repeats a request whose response was lost, although S3 has written it.
        const stored = await readText()
        if (stored?.text === text) {
          etag = stored.etag
          return
        }
        throw new Error('Another worker has continued this sweep.', { cause: error })
      }
    },
  }
}

export type SweepStateStore = ReturnType<typeof createSweepStateStore>

function parse(text: string): SweepState | undefined {
  try {
    const state: unknown = JSON.parse(text)
    return validator.Check(state) ? state : undefined
  } catch {
    return undefined
  }
}
