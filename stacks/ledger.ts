import { readOriginPatterns } from '@millrace/shared/network/allowed-origins.ts'
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
  /** ARNs of the roles that may use objects, besides operators. Undefined for `sst dev`, where developers do. */
  roles: $util.Input<string>[] | undefined
}) {
  const { place, settings, accountId, origin, isReplicated, roles } = options
  const key = createEncryptionKey({ place, accountId })
  const bucket = createBucket({
    place,
    key,
    origin,
    allowedOrigins: readOriginPatterns(settings.environment['ALLOWED_ORIGINS'] ?? ''),
    settings,
    cloudFrontOf: settings.cdn ? accountId : undefined,
    users: roles && [...roles, $interpolate`arn:aws:iam::${accountId}:root`, ...settings.operators],
  })
  const queue = createEventsQueue({ place, key })
  const notification = notifyQueue({ place, bucket, queue: queue.queue, accountId, isReplicated })
  return { key, bucket, queue, notification }
}

export type Ledger = ReturnType<typeof createLedger>
