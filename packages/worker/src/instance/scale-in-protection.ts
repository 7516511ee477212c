import { setTimeout as delay } from 'node:timers/promises'
import { type AutoScalingClient, SetInstanceProtectionCommand } from '@aws-sdk/client-auto-scaling'
import type { Logger } from 'pino'
import type { OldestJob } from '../jobs/oldest-job.ts'
import { readGroupMembership } from './group-membership.ts'
import type { InstanceMetadata } from './instance-metadata.ts'

/** Timeout of one call, with the SDK's retries, in ms. */
const timeoutMs = 60_000

/**
 * Protects the instance from scale-in while a long job is active. Then the Auto Scaling group terminates other instances.
 * Short jobs never cause a call: an interrupted one is repeated in a second.
 *
 * The instance may be protected without a call of this process: an earlier process crashed while it was protected, or a
 * call took effect although its response was lost. So the state is unknown at the start and after a failure, and the
 * next update sets it.
 *
 * @param deps.metadata identifies the instance and its group; tags in metadata must be enabled
 * @param deps.longWorkMs the age of the oldest job from which the instance is protected, in ms
 * @param deps.intervalMs pause between two updates, in ms
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
  /** Undefined: unknown. */
  let isProtected: boolean | undefined
  let failing = false

  return {
    update,

    /**
     * Updates the protection repeatedly, one update after the other. The first one runs after `longWorkMs`: no job can be
     * long before, and by then a new instance is in service. Until then the group refuses the call.
     *
     * @param stopping ends the loop and aborts an active call: a group that terminates the instance ignores protection
     */
    async watch(stopping: AbortSignal): Promise<void> {
      await pause(longWorkMs, stopping)
      while (!stopping.aborted) {
        await update(stopping)
        await pause(intervalMs, stopping)
      }
    },
  }

  /** Makes one call if the required state changed. A failed call is logged, and the next update repeats it. */
  async function update(stopping: AbortSignal): Promise<void> {
    const isRequired = oldestJob.ageMs() >= longWorkMs
    if (isRequired === isProtected) return
    isProtected = undefined
    try {
      const { group, instance } = await readGroupMembership(metadata)
      await autoScaling.send(
        new SetInstanceProtectionCommand({
          AutoScalingGroupName: group,
          InstanceIds: [instance],
          ProtectedFromScaleIn: isRequired,
        }),
        { abortSignal: AbortSignal.any([stopping, AbortSignal.timeout(timeoutMs)]) },
      )
      isProtected = isRequired
      failing = false
      const event = isRequired ? 'instance-held' : 'instance-given-back'
      log.info({ event }, `scale-in protection is ${isRequired ? 'on' : 'off'}`)
    } catch (error) {
      if (!failing && !stopping.aborted) {
        log.warn({ err: error, event: 'scale-in-protection-failed' }, 'scale-in protection could not be set')
      }
      failing = true
    }
  }
}

/** Waits. Resolves early if stopped; the caller checks the signal. */
async function pause(ms: number, stopping: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal: stopping }).catch(() => undefined)
}
