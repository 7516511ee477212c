import type { Tier } from '@millrace/shared/fleet/heartbeats.ts'
import { memoryLimits, smallestMemoryMiB } from './memory-limits.ts'
import type { Place } from './place.ts'
import type { architectureOf } from './settings.ts'
import { renderUserData } from './user-data.ts'

/** Lifecycle hooks of the groups. User data completes the first one; a worker completes the second after its drain. */
export const launchHook = 'launch'
export const terminationHook = 'terminate'

/** How long an instance may take from its launch until its user data completes the launch hook, in seconds. */
const launchSeconds = 600
/** Metrics that groups publish free of charge. */
const groupMetrics = [
  'GroupMinSize',
  'GroupMaxSize',
  'GroupDesiredCapacity',
  'GroupInServiceInstances',
  'GroupPendingInstances',
  'GroupTerminatingInstances',
  'GroupTotalInstances',
] satisfies aws.types.enums.autoscaling.Metric[]
/** The maximum age of an instance, in seconds. Patches come with each deploy. */
const maxLifetimeSeconds = 30 * 24 * 60 * 60

/** Creates the launch template of a tier's instances, which are not reachable from the internet. */
export function createLaunchTemplate(options: {
  place: Place
  tier: Tier
  /** Undefined if the group lists the types. */
  instanceType?: string
  architecture: ReturnType<typeof architectureOf>
  diskGiB: number
  profile: aws.iam.InstanceProfile
  securityGroup: aws.ec2.SecurityGroup
  /** In base64. */
  userData: $util.Output<string>
}) {
  const { place, tier, instanceType, architecture, diskGiB, profile, securityGroup, userData } = options
  const tags = { ...place.tags, Name: place.name(tier), Tier: tier }
  return new aws.ec2.LaunchTemplate(
    place.id(tier === 'api' ? 'ApiTemplate' : 'WorkerTemplate'),
    {
      name: place.name(tier),
      // The AMI's current id. With a reference to the parameter, Auto Scaling could not roll back.
      imageId: aws.ssm.getParameterOutput(
        { name: `/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-${architecture}` },
        place.options,
      ).value,
      ...(instanceType && { instanceType }),
      iamInstanceProfile: { arn: profile.arn },
      metadataOptions: {
        httpEndpoint: 'enabled',
        httpTokens: 'required',
        // One hop is enough, because the service uses the host's network. Nothing further away can read the metadata.
        httpPutResponseHopLimit: 1,
        instanceMetadataTags: 'enabled',
      },
      blockDeviceMappings: [
        {
          deviceName: '/dev/xvda',
          ebs: { volumeType: 'gp3', volumeSize: diskGiB, encrypted: 'true', deleteOnTermination: 'true' },
        },
      ],
      networkInterfaces: [
        {
          associatePublicIpAddress: 'false',
          deleteOnTermination: 'true',
          securityGroups: [securityGroup.id],
        },
      ],
      // Alarms evaluate the CPU once a minute.
      monitoring: { enabled: true },
      tagSpecifications: ['instance', 'volume', 'network-interface'].map((resourceType) => ({
        resourceType,
        tags,
      })),
      userData,
    },
    place.options,
  )
}

/**
 * Returns the arguments that the groups of both tiers share. They ask for no instance refresh: the provider would save the
 * new template in the group first, and AWS could only roll back to that. createRollout (rollout-step.ts) starts it.
 */
export function groupBasics(options: { place: Place; tier: Tier; warmupMs: number }) {
  const { place, tier, warmupMs } = options
  return {
    name: place.name(tier),
    enabledMetrics: groupMetrics,
    metricsGranularity: '1Minute' as const,
    defaultInstanceWarmup: warmupMs / 1_000,
    maxInstanceLifetime: maxLifetimeSeconds,
    waitForCapacityTimeout: '15m',
    // The template tags instances, too. The group itself has only the tags of this list.
    tags: Object.entries({ ...place.tags, Name: place.name(tier), Tier: tier }).map(([key, value]) => ({
      key,
      value,
      propagateAtLaunch: true,
    })),
  }
}

/** An instance is in service after its user data completes this hook. Without that, the group replaces it. */
export const launchHookArgs = {
  name: launchHook,
  lifecycleTransition: 'autoscaling:EC2_INSTANCE_LAUNCHING',
  heartbeatTimeout: launchSeconds,
  defaultResult: 'ABANDON',
}

/** The environment variables of a service, without secrets. */
export type ServiceEnvironment = Record<string, $util.Input<string>>

/**
 * Returns the user data of a tier's instances, in base64 as a launch template requires.
 *
 * @param options.instanceTypes the limits of memory fit into the smallest of them
 * @param options.environment replaces the variables of these limits
 */
export function userDataOf(options: {
  place: Place
  tier: Tier
  instanceTypes: readonly string[]
  imageUri: $util.Input<string>
  logGroup: aws.cloudwatch.LogGroup
  environment: ServiceEnvironment
  port: number
  stopSeconds: number
}): $util.Output<string> {
  const { place, tier, instanceTypes, imageUri, logGroup, environment, port, stopSeconds } = options
  const memory = smallestMemoryMiB(place, instanceTypes)
  const values = $util.output(environment)
  return $resolve([imageUri, logGroup.name]).apply(([image, name]) =>
    memory.apply((memoryMiB) =>
      values.apply((variables) => {
        const limits = memoryLimits(tier, memoryMiB)
        const script = renderUserData({
          tier,
          image,
          environment: { ...limits.environment, ...variables },
          port,
          logGroup: name,
          launchHook,
          stopSeconds,
          memoryMiB: limits.containerMiB,
        })
        return Buffer.from(script).toString('base64')
      }),
    ),
  )
}
