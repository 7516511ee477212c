import { urlEncodeKey } from '../protocol/object-keys.ts'
import type { Bucket } from './bucket-table.ts'
import { matchingConfigurations } from './queue-configuration.ts'
import { integer, type S3Database, text } from './s3-database.ts'
import { nullVersion } from './version-ids.ts'

/** Delay before a delivery is retried: doubles from the first to the last (ms). */
const firstRetryMs = 100
const lastRetryMs = 10_000
/** Number of lanes delivered at the same time. */
const concurrency = 16

/** The request that caused an event. */
export type EventOrigin = { eventName: string; requestId: string; hostId: string; sourceIp: string }
export type EventOutbox = ReturnType<typeof createEventOutbox>

/**
 * Stores event notifications in the transaction that causes them, and delivers them in order per queue and key.
 * After a crash an event may be delivered twice; S3 itself delivers at least once.
 *
 * @param deps.deliver sends one message; if it rejects, the message is retried later
 */
export function createEventOutbox(deps: {
  database: S3Database
  region: string
  deliver: ((queueArn: string, body: string) => Promise<void>) | undefined
}) {
  const { database, region, deliver } = deps
  const nextSequence = database.prepare('UPDATE sequence SET value = value + 1 RETURNING value')
  const insert = database.prepare('INSERT INTO event (lane, queue_arn, body) VALUES (?, ?, ?)')
  const selectFirst = database.prepare(
    'SELECT id, queue_arn, body FROM event WHERE lane = ? ORDER BY id LIMIT 1',
  )
  const selectLanes = database.prepare('SELECT DISTINCT lane FROM event')
  const remove = database.prepare('DELETE FROM event WHERE id = ?')

  /** Lanes with events to deliver, oldest first. A lane is one queue and one key; its events are delivered in order. */
  const ready = new Set(selectLanes.all().map((row) => text(row, 'lane')))
  const active = new Map<string, Promise<void>>()
  const retries = new Map<string, { timer: NodeJS.Timeout | undefined; delayMs: number }>()
  let recorded: string[] = []
  let closed = false

  async function deliverLane(lane: string) {
    for (let row = selectFirst.get(lane); row !== undefined && !closed; row = selectFirst.get(lane)) {
      try {
        await deliver?.(text(row, 'queue_arn'), text(row, 'body'))
      } catch {
        // A failing queue must not fail the upload: the event stays stored and is retried.
        const delayMs = Math.min((retries.get(lane)?.delayMs ?? firstRetryMs / 2) * 2, lastRetryMs)
        const timer = closed ? undefined : setTimeout(() => retry(lane), delayMs)
        retries.set(lane, { timer, delayMs })
        return
      }
      remove.run(integer(row, 'id'))
      retries.delete(lane)
    }
  }

  function retry(lane: string) {
    const entry = retries.get(lane)
    if (entry !== undefined) entry.timer = undefined
    ready.add(lane)
    run()
  }

  function run() {
    if (deliver === undefined) return
    for (const lane of ready) {
      if (closed || active.size >= concurrency) return
      if (active.has(lane)) continue
      ready.delete(lane)
      if (retries.get(lane)?.timer !== undefined) continue
      const running = deliverLane(lane).finally(() => {
        active.delete(lane)
        run()
      })
      active.set(lane, running)
    }
  }

  return {
    /**
     * Stores the event messages that a bucket's configuration requires. Call it inside the transaction of the
     * change itself, and `deliverRecorded` after the commit.
     *
     * @param object without size (bytes) and etag for a deletion
     */
    record(
      bucket: Bucket,
      origin: EventOrigin,
      object: { key: string; size?: number; etag?: string; versionId: string },
    ) {
      for (const configuration of matchingConfigurations(bucket.notification, origin.eventName, object.key)) {
        const sequence = nextSequence.get()
        if (sequence === undefined) throw new Error('the table "sequence" has no row')
        const message = {
          Records: [
            {
              eventVersion: '2.1',
              eventSource: 'aws:s3',
              awsRegion: region,
              eventTime: new Date().toISOString(),
              eventName: origin.eventName,
              userIdentity: { principalId: 'AWS:LOCAL' },
              requestParameters: { sourceIPAddress: origin.sourceIp },
              responseElements: { 'x-amz-request-id': origin.requestId, 'x-amz-id-2': origin.hostId },
              s3: {
                s3SchemaVersion: '1.0',
                configurationId: configuration.id,
                bucket: {
                  name: bucket.name,
                  ownerIdentity: { principalId: 'LOCAL' },
                  arn: `arn:aws:s3:::${bucket.name}`,
                },
                object: {
                  key: urlEncodeKey(object.key),
                  ...(object.size === undefined ? {} : { size: object.size, eTag: object.etag }),
                  ...(object.versionId === nullVersion ? {} : { versionId: object.versionId }),
                  sequencer: integer(sequence, 'value').toString(16).toUpperCase().padStart(18, '0'),
                },
              },
            },
          ],
        }
        const lane = JSON.stringify([configuration.queueArn, bucket.name, object.key])
        insert.run(lane, configuration.queueArn, JSON.stringify(message))
        recorded.push(lane)
      }
    },

    /** Starts to deliver recorded events in the background. Call it also at start, for events left by a crash. */
    deliverRecorded() {
      for (const lane of recorded) ready.add(lane)
      recorded = []
      run()
    },

    /** Stops delivery and waits for active deliveries. The other events are delivered after the next start. */
    async close() {
      closed = true
      for (const { timer } of retries.values()) clearTimeout(timer)
      await Promise.all(active.values())
    },
  }
}
