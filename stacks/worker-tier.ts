import { workerScaling } from '@millrace/shared/fleet/scaling-policy.ts'
import type { ServiceDeps } from './api-tier.ts'
import { createScaling, fleetMetricsOf } from './scaling.ts'
import { workerHealthPort } from './security-groups.ts'
import { architectureOf, type Settings } from './settings.ts'
import { createLaunchTemplate, groupBasics, launchHookArgs, terminationHook, userDataOf } from './tier.ts'

/** How long jobs under way may take once an instance has to go, in seconds. A Spot notice leaves two minutes. */
const drainSeconds = 90
/** The service is stopped by systemd only after its drain, and may take a little longer. */
const stopSeconds = drainSeconds + 20
/** The group waits so long for the worker's next heartbeat, which comes every 10 s (leave-instance.ts); in seconds. */
const terminationSeconds = 60

/**
 * The workers: several instance types, Spot above a base, replaced ahead of an interruption where EC2 sees one coming,
 * and never ended before they have drained.
 */
export function createWorkerTier(deps: ServiceDeps & { settings: Settings['worker'] }) {
  const { place, network, groups, profile, imageUri, logGroup, environment, alarms, settings } = deps
  const template = createLaunchTemplate({
    place,
    tier: 'worker',
    architecture: architectureOf(settings.instanceTypes[0]),
    diskGiB: settings.diskGiB,
    profile,
    securityGroup: groups.worker,
    userData: userDataOf({
      tier: 'worker',
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
  const group = new aws.autoscaling.Group(
    place.id('Worker'),
    {
      ...groupBasics({ place, tier: 'worker', warmupMs: workerScaling.warmupMs, alarms }),
      minSize: settings.min,
      maxSize: settings.max,
      desiredCapacity: settings.min,
      vpcZoneIdentifiers: network.privateSubnets,
      healthCheckType: 'EC2',
      capacityRebalance: true,
      // Workers ask for it themselves, during long work.
      protectFromScaleIn: false,
      mixedInstancesPolicy: {
        instancesDistribution: {
          onDemandBaseCapacity: settings.onDemandBase,
          onDemandPercentageAboveBaseCapacity: settings.onDemandPercent,
          spotAllocationStrategy: 'price-capacity-optimized',
        },
        launchTemplate: {
          launchTemplateSpecification: {
            launchTemplateId: template.id,
            version: template.latestVersion.apply(String),
          },
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
    { ...place.options, ignoreChanges: ['desiredCapacity'] },
  )
  createScaling({ place, id: 'Worker', group, policy: workerScaling, metrics: fleetMetricsOf(place) })
  return group
}
