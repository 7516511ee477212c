import { setTimeout as delay } from 'node:timers/promises'
import type { Logger } from 'pino'
import Type from 'typebox'
import { Compile } from 'typebox/compile'
import type { InstanceMetadata } from './instance-metadata.ts'

/** Why the instance is about to end. */
export type TerminationNotice =
  /** Its Auto Scaling group ends it, and waits for the termination lifecycle hook. */
  | { kind: 'termination' }
  /** EC2 takes it back at a time (milliseconds since 1970) that nobody can put off. */
  | { kind: 'spot-interruption'; atMs: number }

const InstanceAction = Compile(Type.Object({ action: Type.String(), time: Type.String() }))

/**
 * Asks the instance's metadata, again and again, whether the instance is about to end.
 *
 * A rebalance recommendation is logged and no more: it says that an interruption is likely. The group's Capacity
 * Rebalancing starts a replacement and then ends this instance, of which `termination` tells. Leaving before the
 * replacement is there would only make the fleet smaller.
 *
 * @param deps.intervalMs milliseconds between two looks
 */
export function createTerminationNotices(deps: {
  metadata: InstanceMetadata
  log: Logger
  intervalMs: number
}) {
  const { metadata, log, intervalMs } = deps
  let failing = false
  let recommended = false

  return {
    isTargetStateTerminated,

    /**
     * @param stopping ends the wait
     * @returns the first notice; undefined where the wait was ended
     */
    async first(stopping: AbortSignal): Promise<TerminationNotice | undefined> {
      while (!stopping.aborted) {
        const notice = await look()
        if (notice) return notice
        // Rejects when stopped, which the loop's condition sees.
        await delay(intervalMs, undefined, { signal: stopping }).catch(() => {})
      }
      return undefined
    },
  }

  async function look(): Promise<TerminationNotice | undefined> {
    try {
      const [terminating, action, rebalance] = await Promise.all([
        isTargetStateTerminated(),
        metadata.read('spot/instance-action'),
        metadata.read('events/recommendations/rebalance'),
      ])
      if (rebalance !== undefined && !recommended) {
        recommended = true
        log.info({ event: 'rebalance-recommended' }, 'an interruption is likely')
      }
      // Sooner than a termination, which may come with it.
      const notice = action === undefined ? terminationIf(terminating) : interruption(action)
      failing = false
      return notice
    } catch (error) {
      if (!failing) log.warn({ err: error, event: 'notices-unread' }, 'instance metadata')
      failing = true
      return undefined
    }
  }

  async function isTargetStateTerminated(): Promise<boolean> {
    return (await metadata.read('autoscaling/target-lifecycle-state')) === 'Terminated'
  }
}

function terminationIf(terminating: boolean): TerminationNotice | undefined {
  return terminating ? { kind: 'termination' } : undefined
}

/** @param action JSON, such as `{"action":"terminate","time":"2026-11-25T14:00:00Z"}` */
function interruption(action: string): TerminationNotice {
  return { kind: 'spot-interruption', atMs: Date.parse(InstanceAction.Parse(JSON.parse(action)).time) }
}

export type TerminationNotices = ReturnType<typeof createTerminationNotices>
