import {
  type AutoScalingClient,
  type AutoScalingGroup,
  DescribeAutoScalingGroupsCommand,
  type DesiredConfiguration,
  type Instance,
} from '@aws-sdk/client-auto-scaling'
import { type RolloutTarget, templateOf } from './rollout-request.ts'

/** An instance refresh waits for these, in vain (EC2 Auto Scaling User Guide, "How suspended processes affect other processes"). */
const neededProcesses = ['Launch', 'Terminate', 'InstanceRefresh']

/** Reads a group. @returns undefined if there is none of this name */
export async function readGroup(
  autoScaling: AutoScalingClient,
  name: string,
): Promise<AutoScalingGroup | undefined> {
  const { AutoScalingGroups: groups = [] } = await autoScaling.send(
    new DescribeAutoScalingGroupsCommand({ AutoScalingGroupNames: [name] }),
  )
  return groups[0]
}

/** Whether the group's configuration is the target, and each of its instances was launched from it. */
export function runsTarget(group: AutoScalingGroup, target: RolloutTarget): boolean {
  const { LaunchTemplateId, Version } = templateOf(target)
  const types =
    'MixedInstancesPolicy' in target
      ? target.MixedInstancesPolicy.LaunchTemplate.Overrides.map((override) => override.InstanceType)
      : undefined
  return (
    isTarget(group, target) &&
    remainingInstances(group).every(
      ({ LaunchTemplate: template, InstanceType: type = '' }) =>
        template?.LaunchTemplateId === LaunchTemplateId &&
        template.Version === Version &&
        (types === undefined || types.includes(type)),
    )
  )
}

/** Whether a group or a refresh has the target as its configuration. AWS adds its defaults, which are not compared. */
export function isTarget(
  configuration: AutoScalingGroup | DesiredConfiguration | undefined,
  target: RolloutTarget,
): boolean {
  return contains(configuration, target)
}

/** Returns the suspended processes without which no refresh moves. */
export function suspendedProcesses({ SuspendedProcesses: processes = [] }: AutoScalingGroup): string[] {
  return neededProcesses.filter((name) => processes.some(({ ProcessName }) => ProcessName === name))
}

/** One sentence about what a group runs, for example "Now running: 2 instances of version 11; new instances get version 11." */
export function describeRunning(group: AutoScalingGroup): string {
  const counts = new Map<string, number>()
  for (const { LaunchTemplate: template } of remainingInstances(group)) {
    const version = template?.Version ?? 'unknown'
    counts.set(version, (counts.get(version) ?? 0) + 1)
  }
  const running = [...counts].map(
    ([version, count]) => `${count} ${count === 1 ? 'instance' : 'instances'} of version ${version}`,
  )
  const template =
    group.LaunchTemplate ?? group.MixedInstancesPolicy?.LaunchTemplate?.LaunchTemplateSpecification
  return `Now running: ${running.join(', ') || 'no instance'}; new instances get version ${template?.Version}.`
}

function remainingInstances({ Instances: instances = [] }: AutoScalingGroup): Instance[] {
  return instances.filter(({ LifecycleState: state = '' }) => !state.startsWith('Terminat'))
}

/** Whether `actual` has everything of `wanted`: lists item by item, other values as text. */
function contains(actual: unknown, wanted: unknown): boolean {
  if (Array.isArray(wanted)) {
    return (
      Array.isArray(actual) &&
      actual.length === wanted.length &&
      wanted.every((item, index) => contains(actual[index], item))
    )
  }
  if (typeof wanted !== 'object' || wanted === null) return String(actual) === String(wanted)
  if (typeof actual !== 'object' || actual === null) return false
  const properties = new Map<string, unknown>(Object.entries(actual))
  return Object.entries(wanted).every(([name, value]) => contains(properties.get(name), value))
}
