import {
  type AutoScalingClient,
  CompleteLifecycleActionCommand,
  RecordLifecycleActionHeartbeatCommand,
} from '@aws-sdk/client-auto-scaling'
import type { Logger } from 'pino'
import { readGroupMembership } from './group-membership.ts'
import type { InstanceMetadata } from './instance-metadata.ts'

/**
 * The lifecycle hook with which an Auto Scaling group waits, before it ends an instance, until the instance says
 * that it is done. It waits no longer than the hook's timeout after the last heartbeat. Failures are logged and
 * not thrown: they can only make the group wait for too long or not long enough, and then jobs are taken over.
 *
 * @param deps.metadata knows which instance of which group this is; its tags must be readable
 * @param deps.name the hook's
 */
export function createTerminationHook(deps: {
  autoScaling: AutoScalingClient
  metadata: InstanceMetadata
  name: string
  log: Logger
}) {
  const { autoScaling, metadata, name, log } = deps

  return {
    /** Has the group wait for another of the hook's timeouts. */
    async heartbeat(): Promise<void> {
      await logged('heartbeat', async () => {
        await autoScaling.send(new RecordLifecycleActionHeartbeatCommand(await which()))
      })
    },
    /** Lets the group end the instance. */
    async complete(): Promise<void> {
      await logged('termination-completed', async () => {
        await autoScaling.send(
          new CompleteLifecycleActionCommand({ ...(await which()), LifecycleActionResult: 'CONTINUE' }),
        )
      })
    },
  }

  async function which() {
    const { group, instance } = await readGroupMembership(metadata)
    return { AutoScalingGroupName: group, InstanceId: instance, LifecycleHookName: name }
  }

  async function logged(event: string, call: () => Promise<void>): Promise<void> {
    try {
      await call()
      log.info({ event }, 'termination lifecycle hook')
    } catch (error) {
      log.warn({ err: error, event: `${event}-failed` }, 'termination lifecycle hook')
    }
  }
}

export type TerminationHook = ReturnType<typeof createTerminationHook>
