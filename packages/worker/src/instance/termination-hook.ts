import {
  type AutoScalingClient,
  CompleteLifecycleActionCommand,
  RecordLifecycleActionHeartbeatCommand,
} from '@aws-sdk/client-auto-scaling'
import type { Logger } from 'pino'
import { readGroupMembership } from './group-membership.ts'
import type { InstanceMetadata } from './instance-metadata.ts'

/**
 * Calls the termination lifecycle hook of the Auto Scaling group. Before the group terminates an instance, it waits until
 * the hook is completed, but no longer than the hook's timeout after the last heartbeat. Failures are logged and not
 * thrown: the group then only waits too long or not long enough, and other workers take the jobs.
 *
 * @param deps.metadata identifies the instance and its group; tags in metadata must be enabled
 * @param deps.name the name of the hook
 */
export function createTerminationHook(deps: {
  autoScaling: AutoScalingClient
  metadata: InstanceMetadata
  name: string
  log: Logger
}) {
  const { autoScaling, metadata, name, log } = deps

  return {
    /** Restarts the hook's timeout. */
    async heartbeat(): Promise<void> {
      await callAndLog('heartbeat', async () => {
        await autoScaling.send(new RecordLifecycleActionHeartbeatCommand(await hookTarget()))
      })
    },
    /** Completes the hook: the group terminates the instance. */
    async complete(): Promise<void> {
      await callAndLog('termination-completed', async () => {
        await autoScaling.send(
          new CompleteLifecycleActionCommand({ ...(await hookTarget()), LifecycleActionResult: 'CONTINUE' }),
        )
      })
    },
  }

  async function hookTarget() {
    const { group, instance } = await readGroupMembership(metadata)
    return { AutoScalingGroupName: group, InstanceId: instance, LifecycleHookName: name }
  }

  async function callAndLog(event: string, call: () => Promise<void>): Promise<void> {
    try {
      await call()
      log.info({ event }, 'termination lifecycle hook called')
    } catch (error) {
      log.warn({ err: error, event: `${event}-failed` }, 'termination lifecycle hook could not be called')
    }
  }
}

export type TerminationHook = ReturnType<typeof createTerminationHook>
