import { setTimeout as delay } from 'node:timers/promises'
import { type AutoScalingClient, SetInstanceProtectionCommand } from '@aws-sdk/client-auto-scaling'
import type { Logger } from 'pino'
import type { OldestJob } from '../jobs/oldest-job.ts'
import { readGroupMembership } from './group-membership.ts'
import type { InstanceMetadata } from './instance-metadata.ts'

/** How long one call may take, the SDK's own new attempts included, in milliseconds. */
const timeoutMs = 60_000

/**
 * Has the Auto Scaling group choose other instances than this one while there is long work on it. Short jobs never
 * cause a call: what they would lose is done again in a second.
 *
 * The instance may be protected although this process never asked for it: an earlier one may have crashed while it
 * held, or a call that failed here was heard there. Then, too, the next look says what is wanted.
 *
 * @param deps.metadata knows which instance of which group this is; its tags must be readable
 * @param deps.longWorkMs how old the oldest work has to be to hold the instance, in milliseconds
 * @param deps.intervalMs milliseconds between two looks
 */
export function createScaleInProtection(deps: {
  autoScaling: AutoScalingClient
  metadata: InstanceMetadata
  oldestJob: Pick<OldestJob, 'ageMs'>
  longWorkMs: number
  intervalMs: number
  log: Logger
}) {
  const { autoScaling, metadata, oldestJob, longWorkMs, intervalMs, log } = deps
  /** Undefined: not known. */
  let isHeld: boolean | undefined
  let failing = false

  return {
    look,

    /**
     * Looks again and again, one look after the other. The first one comes when work can be long at all: by then
     * a new instance is in service, before which the group refuses.
     *
     * @param stopping ends it, and a call under way: a group that has chosen the instance need not hear more
     */
    async watch(stopping: AbortSignal): Promise<void> {
      await pause(longWorkMs, stopping)
      while (!stopping.aborted) {
        await look(stopping)
        await pause(intervalMs, stopping)
      }
    },
  }

  /** Makes one call where something changed. A call that fails is logged and made up for by the next look. */
  async function look(stopping: AbortSignal): Promise<void> {
    const isWanted = oldestJob.ageMs() >= longWorkMs
    if (isWanted === isHeld) return
    isHeld = undefined
    try {
      const { group, instance } = await readGroupMembership(metadata)
      await autoScaling.send(
        new SetInstanceProtectionCommand({
          AutoScalingGroupName: group,
          InstanceIds: [instance],
          ProtectedFromScaleIn: isWanted,
        }),
        { abortSignal: AbortSignal.any([stopping, AbortSignal.timeout(timeoutMs)]) },
      )
      isHeld = isWanted
      failing = false
      log.info({ event: isWanted ? 'instance-held' : 'instance-given-back' }, 'scale-in protection')
    } catch (error) {
      if (!failing && !stopping.aborted) {
        log.warn({ err: error, event: 'scale-in-protection-failed' }, 'scale-in protection')
      }
      failing = true
    }
  }
}

/** Rejects never: who waits looks at the signal. */
async function pause(ms: number, stopping: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal: stopping }).catch(() => undefined)
}
