import { workerScaling } from '@millrace/shared/fleet/scaling-policy.ts'
import type { ServiceDeps } from './api-tier.ts'
import type { RolloutBasics } from './rollout-step.ts'
import { createScaling, fleetMetricsOf } from './scaling.ts'
import { workerHealthPort } from './security-groups.ts'
import { architectureOf, type Settings } from './settings.ts'
import { createLaunchTemplate, groupBasics, launchHookArgs, terminationHook, userDataOf } from './tier.ts'

/** How long active jobs may take once an instance must terminate, in seconds. A Spot notice leaves two minutes. */
const drainSeconds = 90
/** How long the container may take to stop, in seconds: the drain, and 20 s to close the rest. */
const stopSeconds = drainSeconds + 20
/** How long the group waits for a worker's next heartbeat, in seconds. One comes every 10 s (drain-instance.ts). */
const terminationSeconds = 60

/**
 * Creates the workers: several instance types, Spot above an on-demand base. The group replaces an instance before its
 * interruption if EC2 announces a risk, and terminates none before it has drained.
 *
 * @returns the group, and what its rollout needs
 */
export function createWorkerTier(deps: ServiceDeps & { settings: Settings['worker'] }): {
  group: aws.autoscaling.Group
  rollout: RolloutBasics
} {
  const { place, network, groups, profile, imageUri, logGroup, environment, settings } = deps
  const template = createLaunchTemplate({
    place,
    tier: 'worker',
    architecture: architectureOf(settings.instanceTypes[0]),
    diskGiB: settings.diskGiB,
    profile,
    securityGroup: groups.worker,
    userData: userDataOf({
      place,
      tier: 'worker',
      instanceTypes: settings.instanceTypes,
      imageUri,
      logGroup,
      environment: {
        HEALTH_PORT: String(workerHealthPort),
        TERMINATION_HOOK: terminationHook,
        DRAIN_DEADLINE_MS: String(drainSeconds * 1_000),
        ...environment,
      },
      port: workerHealthPort,
      stopSeconds,
    }),
  })
  const version = template.latestVersion.apply(String)
  const distribution = {
    onDemandBaseCapacity: settings.onDemandBase,
    onDemandPercentageAboveBaseCapacity: settings.onDemandPercent,
    spotAllocationStrategy: 'price-capacity-optimized',
  }
  const group = new aws.autoscaling.Group(
    place.id('Worker'),
    {
      ...groupBasics({ place, tier: 'worker', warmupMs: workerScaling.warmupMs }),
      minSize: settings.min,
      maxSize: settings.max,
      desiredCapacity: settings.min,
      vpcZoneIdentifiers: network.privateSubnets,
      healthCheckType: 'EC2',
      capacityRebalance: true,
      // Workers set scale-in protection themselves, during long jobs.
      protectFromScaleIn: false,
      mixedInstancesPolicy: {
        instancesDistribution: distribution,
        launchTemplate: {
          launchTemplateSpecification: { launchTemplateId: template.id, version },
          overrides: settings.instanceTypes.map((instanceType) => ({ instanceType })),
        },
      },
      initialLifecycleHooks: [
        launchHookArgs,
        {
          name: terminationHook,
          lifecycleTransition: 'autoscaling:EC2_INSTANCE_TERMINATING',
          heartbeatTimeout: terminationSeconds,
          defaultResult: 'CONTINUE',
        },
      ],
    },
    {
      ...place.options,
      // After the first deploy, scaling sets the number of instances, and the rollout the policy.
      ignoreChanges: ['desiredCapacity', 'mixedInstancesPolicy'],
      dependsOn: deps.bootNeeds,
    },
  )
  const scaling = createScaling({
    place,
    id: 'Worker',
    group,
    policy: workerScaling,
    metrics: fleetMetricsOf(place),
  })
  return {
    group,
    rollout: {
      place,
      tier: 'worker',
      group,
      target: $resolve([template.id, version]).apply(([id, number]) => ({
        MixedInstancesPolicy: {
          LaunchTemplate: {
            LaunchTemplateSpecification: { LaunchTemplateId: id, Version: number },
            Overrides: settings.instanceTypes.map((instanceType) => ({ InstanceType: instanceType })),
          },
          InstancesDistribution: {
            OnDemandBaseCapacity: distribution.onDemandBaseCapacity,
            OnDemandPercentageAboveBaseCapacity: distribution.onDemandPercentageAboveBaseCapacity,
            SpotAllocationStrategy: distribution.spotAllocationStrategy,
          },
        },
      })),
      warmupMs: workerScaling.warmupMs,
      scaling,
    },
  }
}
