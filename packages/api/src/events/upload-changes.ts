import { EventEmitter } from 'node:events'
import type { RedisEpoch } from '@millrace/shared/connections/redis-epoch.ts'
import { parseJson, parseStored } from '@millrace/shared/connections/stored-json.ts'
import type { Subscriber, Subscription } from '@millrace/shared/connections/subscriber.ts'
import { createSeldomWarning } from '@millrace/shared/service/seldom-warning.ts'
import { Owner } from '@millrace/shared/uploads/owner.ts'
import { Upload } from '@millrace/shared/uploads/upload.ts'
import { UploadId } from '@millrace/shared/uploads/upload-id.ts'
import { ProgressMessage, progressChannel } from '@millrace/shared/uploads/upload-progress.ts'
import { changesChannel } from '@millrace/shared/uploads/upload-records.ts'
import type { Logger } from 'pino'
import Type, { type Static } from 'typebox'
import { Compile } from 'typebox/compile'

const sequence = Type.Integer({ description: "the change's number in the sequence of its owner's changes" })
const Change = Type.Union([
  Type.Object({ sequence, revision: Type.Integer(), upload: Upload }),
  Type.Object({ sequence, erased: UploadId, owner: Type.Optional(Owner) }),
])
const change = Compile(Change)
const progressMessage = Compile(ProgressMessage)
/** What is read of a change whose upload is of another version. */
const unreadableChange = Compile(
  Type.Object({ sequence, upload: Type.Object({ id: UploadId, owner: Owner }) }),
)

/**
 * What a subscriber receives: a change, an erasure, a progress, the id of an upload that changed in a form which this
 * version cannot read, or `missed`. `missed` means that changes may have been lost, because Redis was not connected or lost
 * data, or that one was unreadable as a whole. In the last two cases, the subscriber has to read the current state.
 */
export type UploadChange =
  | Static<typeof Change>
  | ProgressMessage
  | { sequence: number; unreadable: string; owner: string }
  | 'missed'

/** How often a new epoch of Redis is looked for while there are subscribers, in ms. */
const defaultEpochCheckMs = 2_000

/**
 * Creates the subscriptions to owners' changes. All subscribers of an owner share one subscription, so that each message is
 * read once.
 *
 * @param deps.prefix the prefix of every channel
 * @param deps.epoch the epoch of this Redis: a new one means that a change may have been lost together with its record
 * @param deps.log for changes of another version, at most one line a minute
 * @param deps.epochCheckMs how often a new epoch is looked for while there are subscribers, in ms
 */
export function createUploadChanges(deps: {
  subscriber: Subscriber
  prefix: string
  epoch: RedisEpoch
  log: Logger
  epochCheckMs?: number
}) {
  const { subscriber, prefix, epoch, log, epochCheckMs = defaultEpochCheckMs } = deps
  let epochCheck: NodeJS.Timeout | undefined
  let knownEpoch: number | undefined
  const warnSeldom = createSeldomWarning({ log })
  /** By the channel of the owner's changes. */
  const listeners = new EventEmitter().setMaxListeners(0)
  /** Two for each owner with listeners, by the same channel. */
  const subscriptions = new Map<string, Subscription[]>()

  /** Never throws: an exception in the listener of an event would end the process. */
  function readChange(channel: string, message: string): UploadChange {
    try {
      return parseStored(change, message, channel)
    } catch (error) {
      warnSeldom('change-unreadable', error, 'a change of another version cannot be read')
      const readable = parseJson(message)
      if (!unreadableChange.Check(readable)) return 'missed'
      const { id, owner } = readable.upload
      return { sequence: readable.sequence, unreadable: id, owner }
    }
  }

  /** Ignores a message of another version: a progress that is lost is no fault. Never throws, either. */
  function readProgress(message: string): ProgressMessage | undefined {
    const readable = parseJson(message)
    return progressMessage.Check(readable) ? readable : undefined
  }

  subscriber.onReconnected(emitMissed)

  function emitMissed(): void {
    for (const changes of listeners.eventNames()) listeners.emit(changes, 'missed')
  }

  function open(owner: string, changes: string): Subscription[] {
    const opened = [
      subscriber.subscribe(changes, (message) => listeners.emit(changes, readChange(changes, message))),
      subscriber.subscribe(progressChannel(prefix, owner), (message) => {
        const progress = readProgress(message)
        if (progress) listeners.emit(changes, progress)
      }),
    ]
    subscriptions.set(changes, opened)
    return opened
  }

  async function checkEpoch(): Promise<void> {
    const current = await epoch.current()
    const isNew = knownEpoch !== undefined && current !== knownEpoch
    knownEpoch = current
    if (isNew) emitMissed()
  }

  function updateEpochCheck(): void {
    if (subscriptions.size === 0) {
      clearInterval(epochCheck)
      epochCheck = undefined
      knownEpoch = undefined
    } else {
      // While Redis does not answer, there is nothing to read either. The next check follows.
      epochCheck ??= setInterval(() => checkEpoch().catch(() => undefined), epochCheckMs).unref()
    }
  }

  return {
    /**
     * Subscribes to the changes and the progress of an owner's uploads, or to the changes of all users of a tenant.
     *
     * @param owner an owner, or a group of users (`usersGroup`)
     * @param listener receives every change from the moment the promise resolves
     * @returns a function that ends the subscription
     */
    async subscribe(owner: string, listener: (change: UploadChange) => void): Promise<() => void> {
      const changes = changesChannel(prefix, owner)
      listeners.on(changes, listener)
      const opened = subscriptions.get(changes) ?? open(owner, changes)
      updateEpochCheck()
      const unsubscribe = () => {
        listeners.off(changes, listener)
        if (listeners.listenerCount(changes) > 0 || !subscriptions.delete(changes)) return
        for (const subscription of opened) subscription.end()
        updateEpochCheck()
      }
      try {
        // Known before the subscriber reads the current state, so that a later loss of data is noticed.
        await checkEpoch()
        await Promise.all(opened.map((subscription) => subscription.confirmed()))
      } catch (error) {
        unsubscribe()
        throw error
      }
      return unsubscribe
    },
  }
}

export type UploadChanges = ReturnType<typeof createUploadChanges>
