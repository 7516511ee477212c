import { setTimeout as delay } from 'node:timers/promises'
import type { Logger } from 'pino'
import Type from 'typebox'
import { Compile } from 'typebox/compile'
import type { InstanceMetadata } from './instance-metadata.ts'

/** Why the instance will end. */
export type TerminationNotice =
  /** Its Auto Scaling group terminates it, and waits for the termination lifecycle hook. */
  | { kind: 'termination' }
  /** EC2 interrupts the Spot instance at this time (ms since 1970), which cannot be postponed. */
  | { kind: 'spot-interruption'; atMs: number }

const InstanceAction = Compile(Type.Object({ action: Type.String(), time: Type.String() }))

/**
 * Polls instance metadata for a termination notice.
 *
 * A rebalance recommendation means that an interruption is likely. It is only logged: the group's Capacity Rebalancing
 * starts a replacement and then terminates this instance, which gives a `termination` notice. Draining before the
 * replacement is in service would only make the fleet smaller.
 *
 * @param deps.intervalMs pause between two polls, in ms
 */
export function createTerminationNotices(deps: {
  metadata: InstanceMetadata
  log: Logger
  intervalMs: number
}) {
  const { metadata, log, intervalMs } = deps
  let failing = false
  let isRebalanceLogged = false

  return {
    isTargetStateTerminated,

    /**
     * Waits for the first notice.
     * @param stopping ends the wait
     * @returns undefined if the wait was ended
     */
    async waitForFirst(stopping: AbortSignal): Promise<TerminationNotice | undefined> {
      while (!stopping.aborted) {
        const notice = await readNotice()
        if (notice) return notice
        // Rejects when stopped. The loop's condition then ends the loop.
        await delay(intervalMs, undefined, { signal: stopping }).catch(() => {})
      }
      return undefined
    },
  }

  async function readNotice(): Promise<TerminationNotice | undefined> {
    try {
      const [isTerminated, action, rebalance] = await Promise.all([
        isTargetStateTerminated(),
        metadata.read('spot/instance-action'),
        metadata.read('events/recommendations/rebalance'),
      ])
      if (rebalance !== undefined && !isRebalanceLogged) {
        isRebalanceLogged = true
        log.info({ event: 'rebalance-recommended' }, 'EC2 recommends a rebalance: an interruption is likely')
      }
      // A Spot interruption goes first: it ends the instance sooner than a termination notice that comes with it.
      const notice = action === undefined ? toTermination(isTerminated) : toInterruption(action)
      failing = false
      return notice
    } catch (error) {
      if (!failing) log.warn({ err: error, event: 'notices-unread' }, 'instance metadata could not be read')
      failing = true
      return undefined
    }
  }

  /** Whether the group terminates the instance: only then it waits for the termination hook. */
  async function isTargetStateTerminated(): Promise<boolean> {
    return (await metadata.read('autoscaling/target-lifecycle-state')) === 'Terminated'
  }
}

function toTermination(isTerminated: boolean): TerminationNotice | undefined {
  return isTerminated ? { kind: 'termination' } : undefined
}

/** @param action JSON, such as `{"action":"terminate","time":"2026-11-25T14:00:00Z"}` */
function toInterruption(action: string): TerminationNotice {
  return { kind: 'spot-interruption', atMs: Date.parse(InstanceAction.Parse(JSON.parse(action)).time) }
}

export type TerminationNotices = ReturnType<typeof createTerminationNotices>
