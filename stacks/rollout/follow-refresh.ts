import {
  type AutoScalingClient,
  DescribeInstanceRefreshesCommand,
  type InstanceRefresh,
} from '@aws-sdk/client-auto-scaling'

/** The states in which a refresh ends (API reference, InstanceRefresh). */
const endStates: readonly string[] = [
  'Successful',
  'Failed',
  'Cancelled',
  'RollbackSuccessful',
  'RollbackFailed',
]
/** A refresh that does not move is reported again after this time, with AWS's reason. */
const repeatMs = 5 * 60_000

export type FollowDeps = {
  autoScaling: AutoScalingClient
  /** Prints one line of progress. */
  print: (line: string) => void
  /** The current time, in ms. */
  now: () => number
  /** Waits between two looks, in ms. */
  pause: (ms: number) => Promise<unknown>
}

/** Returns the refresh of a group that has not ended, of which there is at most one. */
export async function findActiveRefresh(
  autoScaling: AutoScalingClient,
  group: string,
): Promise<InstanceRefresh | undefined> {
  const { InstanceRefreshes: refreshes = [] } = await autoScaling.send(
    new DescribeInstanceRefreshesCommand({ AutoScalingGroupName: group }),
  )
  return refreshes.find((refresh) => !hasEnded(refresh))
}

/**
 * Follows a refresh until it ends, and prints its progress in steps of ten percent.
 *
 * @param options.pollMs pause between two looks, in ms
 * @param options.until the time at which to give up, in ms
 * @returns the ended refresh, or as it is when the time is over
 */
export async function followRefresh(
  deps: FollowDeps,
  options: { group: string; id: string; pollMs: number; until: number },
): Promise<InstanceRefresh> {
  const { autoScaling, print, now, pause } = deps
  const { group, id, pollMs, until } = options
  let printed = ''
  let printedAt = Number.NEGATIVE_INFINITY
  for (;;) {
    const { InstanceRefreshes: [refresh] = [] } = await autoScaling.send(
      new DescribeInstanceRefreshesCommand({ AutoScalingGroupName: group, InstanceRefreshIds: [id] }),
    )
    if (!refresh) throw new Error(`Auto Scaling does not know the refresh ${id} of ${group} any more.`)
    if (hasEnded(refresh)) return refresh
    const progress = describeProgress(refresh)
    if (progress !== printed || now() - printedAt >= repeatMs) {
      const reason = progress === printed ? refresh.StatusReason : undefined
      print(`${group}: ${progress}${reason === undefined ? '' : ` (${reason})`}`)
      printed = progress
      printedAt = now()
    }
    if (now() >= until) return refresh
    await pause(pollMs)
  }
}

/** Whether a refresh has ended. A state that AWS adds some day counts as not ended. */
export function hasEnded({ Status: status }: InstanceRefresh): boolean {
  return status !== undefined && endStates.includes(status)
}

/** The reason that AWS gives, as one sentence. */
export function reasonOf({ RollbackDetails: rollback, StatusReason: status }: InstanceRefresh): string {
  const reason = rollback?.RollbackReason ?? status
  if (!reason) return 'AWS gave no reason.'
  return /[.!?]$/.test(reason) ? reason : `${reason}.`
}

function describeProgress(refresh: InstanceRefresh): string {
  const { Status: status, PercentageComplete: percent, RollbackDetails: rollback } = refresh
  const tens = (value = 0) => `${Math.floor(value / 10) * 10} %`
  if (status === 'InProgress') return `replaced ${tens(percent)} of the instances`
  if (status === 'RollbackInProgress')
    return `rolled back ${tens(rollback?.PercentageCompleteOnRollback)} of the instances: ${reasonOf(refresh)}`
  if (status === 'Pending') return 'the refresh begins'
  if (status === 'Cancelling') return 'the refresh is being cancelled'
  return `the refresh is ${status}`
}
