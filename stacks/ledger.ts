import { createBucket } from './bucket.ts'
import { createEncryptionKey } from './encryption-key.ts'
import { createEventsQueue, tellOfOriginals } from './events-queue.ts'
import type { Place } from './place.ts'
import type { Settings } from './settings.ts'

/** What keeps a region's data and tells of it: key, bucket and queue. All that `sst dev` needs. */
export function createLedger(options: {
  place: Place
  settings: Settings
  accountId: $util.Input<string>
  /** Where the console is served from. */
  origin: $util.Input<string>
}) {
  const { place, settings, accountId, origin } = options
  const key = createEncryptionKey({ place, accountId })
  const bucket = createBucket({
    place,
    key,
    origins: [origin],
    settings,
    cloudFrontOf: settings.cdn ? accountId : undefined,
  })
  const queue = createEventsQueue({ place, key })
  tellOfOriginals({ place, bucket, queue: queue.queue, accountId })
  return { key, bucket, queue }
}

export type Ledger = ReturnType<typeof createLedger>
