import { createBucket } from './bucket.ts'
import { createEncryptionKey } from './encryption-key.ts'
import { createEventsQueue, tellOfObjects } from './events-queue.ts'
import type { Place } from './place.ts'
import type { Settings } from './settings.ts'

/** What keeps a region's data and tells of it: key, bucket and queue. All that `sst dev` needs. */
export function createLedger(options: {
  place: Place
  settings: Settings
  accountId: $util.Input<string>
  /** Where the console is served from. */
  origin: $util.Input<string>
  /** Whether the bucket and those of other regions copy to each other. */
  isReplicated: boolean
}) {
  const { place, settings, accountId, origin, isReplicated } = options
  const key = createEncryptionKey({ place, accountId })
  const bucket = createBucket({
    place,
    key,
    origins: [origin],
    settings,
    isReplicated,
    cloudFrontOf: settings.cdn ? accountId : undefined,
  })
  const queue = createEventsQueue({ place, key })
  tellOfObjects({ place, bucket, queue: queue.queue, accountId, isReplicated })
  return { key, bucket, queue }
}

export type Ledger = ReturnType<typeof createLedger>
