import {
  type InstanceRefresh,
  InstanceRefreshInProgressFault,
  StartInstanceRefreshCommand,
} from '@aws-sdk/client-auto-scaling'
import { type FollowDeps, findActiveRefresh, followRefresh, hasEnded, reasonOf } from './follow-refresh.ts'
import { describeRunning, isTarget, readGroup, runsTarget, suspendedProcesses } from './group-state.ts'
import { type RolloutRequest, templateOf } from './rollout-request.ts'

/** How a rollout ended, and one or two sentences that say so. */
export type RolloutResult = { succeeded: boolean; message: string }

/**
 * Brings a group to a target by an instance refresh, and follows it until it ends. Auto Scaling saves the target in the
 * group only at the end, so a refresh that fails is rolled back to what the group ran before.
 *
 * - If the group runs the target already, as after its creation, nothing is started.
 * - A refresh with the same target, which an interrupted deploy left behind, is followed.
 * - Another refresh is waited for, up to `waitMinutes`.
 *
 * @throws errors of the SDK, except that a refresh is in progress
 */
export async function rollOut(deps: FollowDeps, request: RolloutRequest): Promise<RolloutResult> {
  const { autoScaling, print, now } = deps
  const { group: name, target } = request
  const { Version: version } = templateOf(target)
  const pollMs = request.pollSeconds * 1_000
  const until = now() + request.limitMinutes * 60_000
  const waitUntil = Math.min(until, now() + request.waitMinutes * 60_000)
  const failure = (message: string) => ({ succeeded: false, message: `${name}: ${message}` })
  const follow = (id: string, end: number) => followRefresh(deps, { group: name, id, pollMs, until: end })

  for (;;) {
    const active = await findActiveRefresh(autoScaling, name)
    if (active?.InstanceRefreshId !== undefined) {
      const id = active.InstanceRefreshId
      if (isTarget(active.DesiredConfiguration, target)) {
        print(`${name}: follows the refresh ${id} to version ${version}, which an earlier deploy started`)
        return resultOf(await follow(id, until))
      }
      print(
        `${name}: waits for another refresh, ${id}, up to ${request.waitMinutes} minutes; \`aws autoscaling rollback-instance-refresh --auto-scaling-group-name ${name}\` ends it sooner`,
      )
      if (!hasEnded(await follow(id, waitUntil))) {
        return failure(
          `Another refresh, ${id}, is still running after ${request.waitMinutes} minutes. Version ${version} was not rolled out: deploy again when the refresh has ended.`,
        )
      }
      continue
    }

    const group = await readGroup(autoScaling, name)
    if (!group) return failure('There is no such Auto Scaling group. Deploy again to create it.')
    if (runsTarget(group, target)) return { succeeded: true, message: `${name}: runs version ${version}` }
    const suspended = suspendedProcesses(group)
    if (suspended.length > 0) {
      return failure(
        `Its processes ${suspended.join(', ')} are suspended, so no instance can be replaced. Resume them (\`aws autoscaling resume-processes --auto-scaling-group-name ${name}\`) and deploy again. ${describeRunning(group)}`,
      )
    }
    const id = await start()
    if (id === undefined) {
      if (now() >= waitUntil) return failure('Other refreshes start again and again. Deploy again later.')
      await deps.pause(pollMs)
      continue
    }
    print(
      `${name}: started the refresh ${id} to version ${version}. AWS continues it even if this deploy is interrupted; the next deploy follows it`,
    )
    return resultOf(await follow(id, until))
  }

  /** @returns the refresh's id, or undefined if another one is in progress */
  async function start(): Promise<string | undefined> {
    try {
      const { InstanceRefreshId: id } = await autoScaling.send(
        new StartInstanceRefreshCommand({
          AutoScalingGroupName: name,
          Strategy: 'Rolling',
          DesiredConfiguration: target,
          Preferences: {
            // A few at a time, and each only after its successor is in service.
            MinHealthyPercentage: 100,
            MaxHealthyPercentage: 150,
            InstanceWarmup: request.warmupSeconds,
            SkipMatching: true,
            AutoRollback: true,
            // They drain first, as before any termination. AWS's default would wait an hour for them and then fail.
            ScaleInProtectedInstances: 'Refresh',
            ...(request.alarms.length > 0 && { AlarmSpecification: { Alarms: request.alarms } }),
          },
        }),
      )
      return id
    } catch (error) {
      if (error instanceof InstanceRefreshInProgressFault) return undefined
      throw error
    }
  }

  async function resultOf(refresh: InstanceRefresh): Promise<RolloutResult> {
    const { Status: status, InstanceRefreshId: id } = refresh
    if (status === 'Successful') return { succeeded: true, message: `${name}: runs version ${version}` }
    const group = await readGroup(autoScaling, name)
    const running = group ? describeRunning(group) : 'The group no longer exists.'
    if (!hasEnded(refresh)) {
      return failure(
        `The rollout of version ${version} is still ${status} after ${request.limitMinutes} minutes, and AWS continues it (refresh ${id}). Deploy again to follow it. ${running}`,
      )
    }
    const ended: Record<string, string> = {
      RollbackSuccessful: 'failed, and AWS rolled it back',
      RollbackFailed: 'failed, and so did its rollback',
      Cancelled: 'was cancelled, and not rolled back',
    }
    return failure(
      `The rollout of version ${version} ${ended[status ?? ''] ?? 'failed, and was not rolled back'}: ${reasonOf(refresh)} ${running}`,
    )
  }
}
