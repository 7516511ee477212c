import type { Redis } from 'ioredis'
import Type, { type Static } from 'typebox'
import { redisScript, runScript } from '../connections/redis-script.ts'
import type { UploadAddress } from './upload-address.ts'
import { UploadId } from './upload-id.ts'
import { createUploadKeys } from './upload-keys.ts'

/** What a worker does with an upload while its state is `processing`. */
export const ProgressStep = Type.Object({
  step: Type.Union([Type.Literal('inspecting'), Type.Literal('rendering'), Type.Literal('publishing')]),
  done: Type.Optional(Type.Integer({ minimum: 0, description: 'rendered variants; only with `rendering`' })),
  total: Type.Optional(Type.Integer({ minimum: 1, description: 'variants; only with `rendering`' })),
})
export type ProgressStep = Static<typeof ProgressStep>

/** The progress of one upload. It is not stored: who was not listening does not get it. */
export const UploadProgress = Type.Object(
  { id: UploadId, ...ProgressStep.properties },
  { title: 'UploadProgress' },
)
export type UploadProgress = Static<typeof UploadProgress>

/**
 * What workers publish. `revision` is that of the record while the worker reported; `sequence` is that of the owner's last
 * change then. A reader who knows of a later change drops the progress.
 */
export const ProgressMessage = Type.Object({
  sequence: Type.Integer(),
  revision: Type.Integer(),
  progress: UploadProgress,
})
export type ProgressMessage = Static<typeof ProgressMessage>

/**
 * Returns the channel on which the progress of an owner's uploads is published. It is not that of the changes: instances of
 * a version without progress do not listen to it.
 */
export function progressChannel(prefix: string, owner: string): string {
  return `${prefix}:progress:${owner}`
}

/**
 * Publishes a progress if the record still has the revision with which the work began. So nothing follows after the final
 * state, also if a worker was stopped meanwhile and another one finished its job.
 *
 * KEYS: record, sequence. ARGV: revision, channel, progress.
 */
const publishScript = redisScript(`
if redis.call('HGET', KEYS[1], 'revision') ~= ARGV[1] then return 0 end
local sequence = redis.call('HGET', KEYS[2], 'last') or '0'
redis.call('PUBLISH', ARGV[2],
  '{"sequence":' .. sequence .. ',"revision":' .. ARGV[1] .. ',"progress":' .. ARGV[3] .. '}')
return 1
`)

/**
 * Creates the function that publishes the progress of uploads. Nothing is stored, and nobody waits for Redis.
 *
 * @param deps.redis the connection that also saves records, so that progress and changes stay in order
 * @param deps.prefix prefix of every key and channel
 */
export function createPublishProgress({ redis, prefix }: { redis: Redis; prefix: string }) {
  const keys = createUploadKeys(prefix)

  /** @param revision of the record since the work began */
  return function publishProgress({ owner, id }: UploadAddress, revision: number, step: ProgressStep): void {
    // ioredis would keep the command until it has connected again.
    if (redis.status !== 'ready') return
    const progress: UploadProgress = { id, ...step }
    runScript(
      redis,
      publishScript,
      2,
      keys.record({ owner, id }),
      keys.sequence(owner),
      revision,
      progressChannel(prefix, owner),
      JSON.stringify(progress),
    )
      // A lost progress is no fault.
      .catch(() => undefined)
  }
}

export type PublishProgress = ReturnType<typeof createPublishProgress>
