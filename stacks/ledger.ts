import { readOriginPatterns } from '@millrace/shared/service/allowed-origins.ts'
import { createBucket } from './bucket.ts'
import { createEncryptionKey } from './encryption-key.ts'
import { createEventsQueue, notifyQueue } from './events-queue.ts'
import type { Place } from './place.ts'
import type { Settings } from './settings.ts'

/** Creates a region's key, bucket and queue, and S3's notifications. `sst dev` needs nothing else. */
export function createLedger(options: {
  place: Place
  settings: Settings
  accountId: $util.Input<string>
  /** The origin that serves the console. */
  origin: $util.Input<string>
  /** Whether the buckets of all regions copy to each other. */
  isReplicated: boolean
}) {
  const { place, settings, accountId, origin, isReplicated } = options
  const key = createEncryptionKey({ place, accountId })
  const bucket = createBucket({
    place,
    key,
    origin,
    allowedOrigins: readOriginPatterns(settings.environment['ALLOWED_ORIGINS'] ?? ''),
    settings,
    cloudFrontOf: settings.cdn ? accountId : undefined,
  })
  const queue = createEventsQueue({ place, key })
  notifyQueue({ place, bucket, queue: queue.queue, accountId, isReplicated })
  return { key, bucket, queue }
}

export type Ledger = ReturnType<typeof createLedger>
