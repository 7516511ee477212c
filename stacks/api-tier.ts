import { apiScaling } from '@millrace/shared/fleet/scaling-policy.ts'
import { requestsDeadlineMs } from '@millrace/shared/service/close-deadlines.ts'
import type { LoadBalancer } from './load-balancer.ts'
import type { Network } from './network.ts'
import type { Place } from './place.ts'
import type { RolloutBasics } from './rollout-step.ts'
import { createScaling, instanceMetrics } from './scaling.ts'
import { apiPort, type SecurityGroups } from './security-groups.ts'
import { architectureOf, type Settings } from './settings.ts'
import {
  createLaunchTemplate,
  groupBasics,
  launchHookArgs,
  type ServiceEnvironment,
  userDataOf,
} from './tier.ts'

/** How long the container may take to stop, in seconds: the deadline of active requests, and 10 s to close the rest. */
const stopSeconds = requestsDeadlineMs / 1000 + 10
/** From in service until two health checks of the load balancer have passed, in seconds. */
const graceSeconds = 60

export type ServiceDeps = {
  place: Place
  network: Network
  groups: SecurityGroups
  profile: aws.iam.InstanceProfile
  imageUri: $util.Output<string>
  logGroup: aws.cloudwatch.LogGroup
  environment: ServiceEnvironment
  /** What an instance needs to boot. Without it, the launch would fail and be repeated. */
  bootNeeds: $util.Input<$util.Resource[]>
}

/** Creates the API's instances, behind the load balancer. @returns their group, and what its rollout needs */
export function createApiTier(
  deps: ServiceDeps & { loadBalancer: LoadBalancer; settings: Settings['api'] },
): {
  group: aws.autoscaling.Group
  rollout: RolloutBasics
} {
  const { place, network, groups, profile, imageUri, logGroup, environment, loadBalancer, settings } = deps
  const template = createLaunchTemplate({
    place,
    tier: 'api',
    instanceType: settings.instanceType,
    architecture: architectureOf(settings.instanceType),
    diskGiB: settings.diskGiB,
    profile,
    securityGroup: groups.api,
    userData: userDataOf({
      place,
      tier: 'api',
      instanceTypes: [settings.instanceType],
      imageUri,
      logGroup,
      environment: { HOST: '0.0.0.0', PORT: String(apiPort), ...environment },
      port: apiPort,
      stopSeconds,
    }),
  })
  // Auto Scaling can roll back only to a template version with a number.
  const version = template.latestVersion.apply(String)
  const group = new aws.autoscaling.Group(
    place.id('Api'),
    {
      ...groupBasics({ place, tier: 'api', warmupMs: apiScaling.warmupMs }),
      minSize: settings.min,
      maxSize: settings.max,
      desiredCapacity: settings.desired,
      vpcZoneIdentifiers: network.privateSubnets,
      targetGroupArns: [loadBalancer.targets.arn],
      healthCheckType: 'ELB',
      healthCheckGracePeriod: graceSeconds,
      launchTemplate: { id: template.id, version },
      // Part of the group, because its first instances already need the hook.
      initialLifecycleHooks: [launchHookArgs],
    },
    {
      ...place.options,
      // After the first deploy, scaling sets the number of instances, and the rollout the template.
      ignoreChanges: ['desiredCapacity', 'launchTemplate'],
      dependsOn: $util.output(deps.bootNeeds).apply((needs) => [...needs, ...loadBalancer.listeners]),
    },
  )
  const scaling = createScaling({
    place,
    id: 'Api',
    group,
    policy: apiScaling,
    metrics: instanceMetrics(group),
  })
  return {
    group,
    rollout: {
      place,
      tier: 'api',
      group,
      target: $resolve([template.id, version]).apply(([id, number]) => ({
        LaunchTemplate: { LaunchTemplateId: id, Version: number },
      })),
      warmupMs: apiScaling.warmupMs,
      scaling,
    },
  }
}
