import { setTimeout as delay } from 'node:timers/promises'
import { isTransient } from '@millrace/shared/connections/outage.ts'
import { undefinedIfUnreadable } from '@millrace/shared/connections/stored-json.ts'
import type { UploadJobState, UploadQueue } from '@millrace/shared/jobs/process-upload-job.ts'
import { type Arrival, isFinished, isSameArrival } from '@millrace/shared/uploads/upload.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import type { UploadRecords } from '@millrace/shared/uploads/upload-records.ts'
import type { Logger } from 'pino'
import { groupsOf, type LeasedMessage, type MessageLeases } from './message-leases.ts'

/**
 * SQS ends a lease 12 hours after the receive, whatever was extended (Amazon SQS Developer Guide, "Amazon SQS visibility
 * timeout"). A message that is held for longer than this, in ms, is left to the queue, which delivers it again.
 */
const longestHoldMs = 11 * 60 * 60 * 1000

/** As parts of a lease: when it is renewed, how often that is looked at, and how often uploads are checked. */
const renewAfter = 1 / 3
const renewPeriod = 1 / 10
const checkPeriod = 1 / 20

/**
 * How many uploads are checked with one pipeline, and how many are received again at the same time. Of those that wait for
 * room, only so many are looked at in one check.
 */
const checksAtOnce = 200
const retriesAtOnce = 16

/** The longest time in ms until an upload that is still unfinished is received again. */
const longestRetryMs = 30_000

/** An upload that is not finished. */
export type UnfinishedUpload = {
  address: UploadAddress
  /** The bytes that S3 had. */
  arrival: Arrival
  /** Until then its own region has time to process this copy, in ms since 1970. Undefined if it has a job here. */
  copyUntilMs: number | undefined
}

/** A key of an event whose message is held. Without an upload, an outage interrupted its handling. */
export type UnfinishedKey = {
  key: string
  /** The version of the event, if the bucket is versioned. */
  versionId?: string | undefined
  upload: UnfinishedUpload | undefined
}

type HeldKey = UnfinishedKey & {
  isDone: boolean
  retries: number
  retryAtMs: number
  /** It has no job, since its owner fills its share of the queue of jobs. */
  waitsForRoom: boolean
}
type HeldMessage = { message: LeasedMessage; keys: HeldKey[] }
type OpenKey = { key: HeldKey; message: LeasedMessage; state: UploadJobState | undefined }

/**
 * Handles one key of an event by what S3 has.
 *
 * @param options.versionId the version of the event, if the bucket is versioned
 * @param options.sentAtMs when S3 sent the event, in ms since 1970
 * @param options.isRetry the key was handled before: its job is added again if it is missing, and restarted if it failed
 * @returns the upload that the message waits for, or undefined if nothing remains to do
 */
export type HandleKey = (
  key: string,
  options: { versionId: string | undefined; sentAtMs: number; isRetry: boolean },
) => Promise<UnfinishedUpload | undefined>

/**
 * Holds the messages of uploads that are not finished (decision 0022). A message is the durable sign that an upload
 * arrived, since Redis may lose its record and its job. So it is deleted only when a manifest of the same bytes exists, or
 * the original is gone or erased. If its version is not the one that the manifest names, it is handled once more then. Until then:
 *
 *   - its lease is renewed, so that no other worker receives it
 *   - its job is looked up. While the job waits or runs, nothing is done. A job that ended has finished its upload, and the
 *     record says so: the manifest is written before the record. Otherwise Redis lost something, or the job failed, or the
 *     bytes were replaced: the upload is received again from S3, which adds the job that is needed
 *   - while its owner fills its share of the queue of jobs, an upload without a job waits for room, so that messages of
 *     other owners behind it in SQS are received
 *
 * Messages wait in memory only, and those that still wait when the worker stops are left as they are. Their leases end, and
 * other workers receive them. Making them visible at once would help only if Redis lost their jobs in the same minute. And
 * in a fleet that shrinks step by step, each step could count a receive of the same message; so it counts one per lease at
 * most, and `maxReceives` of them take an hour.
 *
 * @param deps.leaseMs duration of a lease, in ms
 * @param deps.now the clock of the leases, in ms
 */
export function createHeldArrivals(deps: {
  leases: Pick<MessageLeases, 'renew' | 'delete'>
  queue: Pick<UploadQueue, 'states' | 'hasRoom'>
  records: Pick<UploadRecords, 'find'>
  handleKey: HandleKey
  leaseMs: number
  now: () => number
  log: Logger
}) {
  const { leases, queue, records, handleKey, leaseMs, now, log } = deps
  const held = new Map<string, HeldMessage>()
  const stopping = new AbortController()
  let loops: Promise<unknown> = Promise.resolve()

  /** Renews the leases that are due, and lets go of messages that cannot be held. */
  async function renewLeases(): Promise<void> {
    const messages = [...held.values()].map(({ message }) => message)
    const expired = messages.filter(({ receivedAtMs }) => now() - receivedAtMs >= longestHoldMs)
    letGo(expired, 'held for too long')
    const due = messages.filter(
      (message) => isHeld(message) && now() - message.renewedAtMs >= leaseMs * renewAfter,
    )
    letGo(await leases.renew(due), 'its lease is over')
  }

  function letGo(messages: LeasedMessage[], reason: string): void {
    for (const message of messages) {
      // Meanwhile this worker may have received it again, with another receipt handle.
      if (!isHeld(message)) continue
      held.delete(message.id)
      log.debug({ event: 'arrival-let-go', messageId: message.id, reason }, 'message not held any more')
    }
  }

  function isHeld(message: LeasedMessage): boolean {
    return held.get(message.id)?.message === message
  }

  /**
   * Checks all held messages, and deletes those that wait for nothing any more.
   * @param options.isLast does not receive any upload again
   * @throws the error of an outage; the rest is checked the next time
   */
  async function check({ isLast = false } = {}): Promise<void> {
    const all = [...held.values()]
    const parked = all.filter(waitsForRoom)
    const checked = [...all.filter((each) => !waitsForRoom(each)), ...(await withRoom(parked))]
    for (const group of groupsOf(checked, checksAtOnce)) {
      if (stopping.signal.aborted && !isLast) return
      try {
        await checkGroup(group)
      } finally {
        await deleteDone(group)
      }
    }
  }

  /** Returns the first of the messages that wait for room and whose owners have some. */
  async function withRoom(parked: HeldMessage[]): Promise<HeldMessage[]> {
    if (parked.length === 0 || !(await queue.hasRoom())) return []
    const owners = new Map<string, boolean>()
    const found: HeldMessage[] = []
    for (const each of parked) {
      if (found.length === checksAtOnce) break
      const owner = each.keys.find((key) => key.waitsForRoom)?.upload?.address.owner ?? ''
      const hasRoom = owners.get(owner) ?? (await queue.hasRoom(owner))
      owners.set(owner, hasRoom)
      if (hasRoom) found.push(each)
    }
    return found
  }

  async function checkGroup(group: HeldMessage[]): Promise<void> {
    const open: OpenKey[] = group.flatMap(({ message, keys }) =>
      keys.filter(({ isDone }) => !isDone).map((key) => ({ key, message, state: undefined })),
    )
    const withJob = open.flatMap((each) => {
      const { upload } = each.key
      if (!upload || upload.copyUntilMs !== undefined) return []
      return [{ each, job: { id: upload.address.id, etag: upload.arrival.etag } }]
    })
    const states = await queue.states(withJob.map(({ job }) => job))
    for (const [i, { each }] of withJob.entries()) each.state = states[i]
    for (const { key, state } of open) if (state === 'queued') key.waitsForRoom = false
    const unclear = open.filter(({ state }) => state !== 'queued')
    const isSettled = await Promise.all(unclear.map(({ key }) => checkRecord(key)))
    const due = unclear.filter(({ key }, i) => !isSettled[i] && key.retryAtMs <= now())
    for (const retries of groupsOf(due, retriesAtOnce)) {
      if (stopping.signal.aborted) return
      const results = await Promise.allSettled(retries.map(retryIfRoom))
      for (const result of results) if (result.status === 'rejected') throw result.reason
    }
  }

  /** Handles a key again, unless that would add a job for which its owner has no room. @throws as `retry` does */
  async function retryIfRoom({ key, message, state }: OpenKey): Promise<void> {
    const { upload } = key
    key.waitsForRoom =
      upload !== undefined && state === 'missing' && !(await queue.hasRoom(upload.address.owner))
    if (!key.waitsForRoom) await retry(key, message)
  }

  /** Marks a key as done if the record says so. @returns whether nothing remains to do for it now */
  async function checkRecord(key: HeldKey): Promise<boolean> {
    const { upload } = key
    if (!upload) return false
    const stored = await records.find(upload.address).catch(undefinedIfUnreadable)
    if (!stored?.upload.arrival || !isSameArrival(stored.upload.arrival, upload.arrival)) return false
    const isEnd = isFinished(stored.upload)
    // The event of another version decides again now that there is a manifest (`settle-original.ts`).
    const isOther = key.versionId !== undefined && key.versionId !== upload.arrival.versionId
    if (isEnd && isOther) return false
    key.isDone = isEnd
    return key.isDone || (upload.copyUntilMs ?? 0) > Date.now()
  }

  /** Handles a key again. @throws the error of an outage */
  async function retry(key: HeldKey, message: LeasedMessage): Promise<void> {
    key.retries += 1
    key.retryAtMs = now() + Math.min(longestRetryMs, leaseMs * checkPeriod * 2 ** Math.min(key.retries, 20))
    try {
      const { versionId } = key
      key.upload = await handleKey(key.key, { versionId, sentAtMs: message.sentAtMs, isRetry: true })
      key.isDone = key.upload === undefined
    } catch (error) {
      if (isTransient(error)) throw error
      log.warn({ err: error, event: 'arrival-failed', messageId: message.id }, 'arrival failed')
      letGo([message], 'its handling failed')
    }
  }

  /** Deletes messages of which all keys are done. They stay held if SQS fails. */
  async function deleteDone(group: HeldMessage[]): Promise<void> {
    const done = group.filter(({ message, keys }) => isHeld(message) && keys.every(({ isDone }) => isDone))
    const messages = done.map(({ message }) => message)
    const remaining = new Set(await leases.delete(messages))
    for (const message of messages) {
      if (isHeld(message) && !remaining.has(message)) held.delete(message.id)
    }
  }

  /** Repeats work until `stop`. Of failures in a row only the first one is logged. */
  async function repeat(periodMs: number, work: () => Promise<void>): Promise<void> {
    let isFailing = false
    while (!stopping.signal.aborted) {
      await delay(periodMs, undefined, { signal: stopping.signal }).catch(() => {})
      if (stopping.signal.aborted) return
      try {
        await work()
        isFailing = false
      } catch (error) {
        if (!isFailing) log.warn({ err: error, event: 'held-arrivals-failed' }, 'held arrivals, retried')
        isFailing = true
      }
    }
  }

  return {
    start(): void {
      loops = Promise.all([repeat(leaseMs * renewPeriod, renewLeases), repeat(leaseMs * checkPeriod, check)])
    },
    /**
     * Stops renewing and checking. Messages of finished uploads are deleted, and all others stay in the queue.
     * @throws the error of an outage; finished uploads' messages then come again too
     */
    async stop(): Promise<void> {
      stopping.abort()
      await loops
      await check({ isLast: true })
    },
    /** Holds a message until its keys are done. A message that comes again is held by its newest receipt handle. */
    hold(message: LeasedMessage, keys: UnfinishedKey[]): void {
      held.set(message.id, {
        message,
        keys: keys.map((key) => ({
          ...key,
          isDone: false,
          retries: 0,
          retryAtMs: 0,
          waitsForRoom: false,
        })),
      })
    },
    /** Returns the number of held messages. */
    size: () => held.size,
    /** Returns the number of held messages that wait for room in the queue of jobs. */
    parkedSize: () => [...held.values()].filter(waitsForRoom).length,
    renewLeases,
    check,
  }
}

function waitsForRoom({ keys }: HeldMessage): boolean {
  return keys.some((key) => key.waitsForRoom && !key.isDone)
}

export type HeldArrivals = ReturnType<typeof createHeldArrivals>
