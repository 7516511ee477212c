import { EventEmitter } from 'node:events'
import { Upload } from '@millrace/shared/uploads/upload.ts'
import { UploadId } from '@millrace/shared/uploads/upload-id.ts'
import { changesChannel } from '@millrace/shared/uploads/upload-records.ts'
import type { Redis } from 'ioredis'
import Type, { type Static } from 'typebox'
import { Compile } from 'typebox/compile'

const sequence = Type.Integer({ description: "the change's number among its owner's" })
const Change = Type.Union([
  Type.Object({ sequence, revision: Type.Integer(), upload: Upload }),
  Type.Object({ sequence, erased: UploadId }),
])
const change = Compile(Change)

/**
 * What subscribers are told: a change, an upload's erasure, or that either may have been missed while Redis
 * was away, in which case they have to look for themselves.
 */
export type UploadChange = Static<typeof Change> | 'missed'

/**
 * Hears of owners' changes over one connection, however many subscribers this instance has.
 *
 * @param deps.redis a connection of its own: Redis lets a subscribed one do nothing else
 * @param deps.prefix begins every channel
 */
export function createUploadChanges({ redis, prefix }: { redis: Redis; prefix: string }) {
  const subscribers = new EventEmitter().setMaxListeners(0)
  const channels = new Set<string>()

  redis.on('message', (channel: string, message: string) => {
    // The connection is everybody's: others listen for other things on it.
    if (channels.has(channel)) subscribers.emit(channel, change.Parse(JSON.parse(message)))
  })
  let connections = redis.status === 'ready' ? 1 : 0
  redis.on('ready', () => {
    connections += 1
    if (connections > 1) for (const channel of channels) subscribers.emit(channel, 'missed')
  })

  return {
    /**
     * @param listener is called with every change from the moment the promise resolves
     * @returns ends the subscription
     */
    async subscribe(owner: string, listener: (change: UploadChange) => void): Promise<() => void> {
      const channel = changesChannel(prefix, owner)
      subscribers.on(channel, listener)
      channels.add(channel)
      const unsubscribe = () => {
        subscribers.off(channel, listener)
        if (subscribers.listenerCount(channel) > 0 || !channels.delete(channel)) return
        // Where the connection is gone, the subscription went with it.
        redis.unsubscribe(channel).catch(() => undefined)
      }
      try {
        await redis.subscribe(channel)
      } catch (error) {
        unsubscribe()
        throw error
      }
      return unsubscribe
    },
  }
}

export type UploadChanges = ReturnType<typeof createUploadChanges>
