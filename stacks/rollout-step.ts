import type { Tier } from '@millrace/shared/fleet/heartbeats.ts'
import type { Place } from './place.ts'
import type { RolloutRequest, RolloutTarget } from './rollout/rollout-request.ts'

/** Pause between two looks at a refresh, in seconds. */
const pollSeconds = 10
/** AWS gives a refresh up that makes no progress for an hour (EC2 Auto Scaling User Guide, "Undo changes with a rollback"). */
const waitMinutes = 60
/** For another refresh, for one that AWS gives up, and for its rollback. */
const limitMinutes = 180

/** What a tier knows about its rollout. */
export type RolloutBasics = {
  place: Place
  tier: Tier
  group: aws.autoscaling.Group
  /** What the group should run. */
  target: $util.Output<RolloutTarget>
  warmupMs: number
  /** The policies that scale the group, and their alarms. */
  scaling: $util.Resource[]
}

/**
 * Creates the step of a deploy that rolls the group's launch template out (rollout/main.ts). It runs when its input
 * changes: the template's version, the instance types, the group. A step that fails ends the deploy, and the next deploy
 * runs it again. Its removal does nothing.
 *
 * @param options.rollbackAlarms names of alarms that roll the group back, because the new version may have raised them
 * @param options.after further resources that must be ready
 */
export function createRollout(
  options: RolloutBasics & { rollbackAlarms: string[]; after: $util.Resource[] },
): void {
  const { place, tier, group, target, warmupMs, scaling, rollbackAlarms, after } = options
  const request = target.apply((resolved) =>
    $resolve([group.name, group.arn]).apply(
      ([name, groupArn]): RolloutRequest => ({
        region: place.region,
        group: name,
        groupArn,
        target: resolved,
        warmupSeconds: warmupMs / 1_000,
        alarms: rollbackAlarms,
        pollSeconds,
        waitMinutes,
        limitMinutes,
      }),
    ),
  )
  new command.local.Command(
    place.id(tier === 'api' ? 'ApiRollout' : 'WorkerRollout'),
    {
      // Without a shell or another process between, so that the step ends when the deploy is killed. The project's own
      // Node, because the machine's may not run TypeScript.
      interpreter: ['node_modules/.bin/node'],
      create: 'stacks/rollout/main.ts',
      dir: $cli.paths.root,
      environment: { ROLLOUT: $jsonStringify(request) },
      addPreviousOutputInEnv: false,
    },
    { dependsOn: [group, ...scaling, ...after] },
  )
}
