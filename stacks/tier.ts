import type { Tier } from '@millrace/shared/fleet/heartbeats.ts'
import type { Place } from './place.ts'
import type { architectureOf } from './settings.ts'
import { renderUserData } from './user-data.ts'

/** Both tiers have hooks of these names; user data completes the first one, the worker's drain the second. */
export const launchHook = 'launch'
export const terminationHook = 'terminate'

/** How long an instance may take from its launch until its user data says that it works, in seconds. */
const launchSeconds = 600
/** Groups tell these of themselves, for nothing. */
const groupMetrics = [
  'GroupMinSize',
  'GroupMaxSize',
  'GroupDesiredCapacity',
  'GroupInServiceInstances',
  'GroupPendingInstances',
  'GroupTerminatingInstances',
  'GroupTotalInstances',
] satisfies aws.types.enums.autoscaling.Metric[]
/** No instance gets older than this, whatever it may have piled up; in seconds. Patches come with each deploy. */
const maxLifetimeSeconds = 30 * 24 * 60 * 60

/** How instances of a tier are made: the same for all, and nothing in it can be reached from outside. */
export function createLaunchTemplate(options: {
  place: Place
  tier: Tier
  /** Undefined where the group says which types. */
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
      // Its id of now. Were the parameter itself given here, Auto Scaling could not roll back.
      imageId: aws.ssm.getParameterOutput(
        { name: `/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-${architecture}` },
        place.options,
      ).value,
      ...(instanceType && { instanceType }),
      iamInstanceProfile: { arn: profile.arn },
      metadataOptions: {
        httpEndpoint: 'enabled',
        httpTokens: 'required',
        // The service shares the host's network; nothing further away may ask.
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
      // Alarms look at CPU by the minute.
      monitoring: { enabled: true },
      tagSpecifications: ['instance', 'volume', 'network-interface'].map((resourceType) => ({
        resourceType,
        tags,
      })),
      updateDefaultVersion: true,
      userData,
    },
    place.options,
  )
}

/** What the groups of both tiers have in common. */
export function groupBasics(options: {
  place: Place
  tier: Tier
  warmupMs: number
  /** A new image is rolled back while any of these alarms is on. */
  alarms: $util.Input<string>[]
}) {
  const { place, tier, warmupMs, alarms } = options
  return {
    name: place.name(tier),
    enabledMetrics: groupMetrics,
    metricsGranularity: '1Minute' as const,
    defaultInstanceWarmup: warmupMs / 1_000,
    maxInstanceLifetime: maxLifetimeSeconds,
    waitForCapacityTimeout: '15m',
    // A deploy changes the template, so this replaces instances, some at a time, and none before there is another.
    instanceRefresh: {
      strategy: 'Rolling',
      preferences: {
        minHealthyPercentage: 100,
        maxHealthyPercentage: 150,
        instanceWarmup: String(warmupMs / 1_000),
        skipMatching: true,
        autoRollback: true,
        // Instances that are held by long work, too: they drain as before any end. Otherwise they would keep the old
        // image (the provider's default) or hold the deploy up for an hour (AWS's).
        scaleInProtectedInstances: 'Refresh',
        ...(alarms.length > 0 && { alarmSpecification: { alarms } }),
      },
    },
    // Propagated by the template, too; the group itself only has what it lists.
    tags: Object.entries({ ...place.tags, Name: place.name(tier), Tier: tier }).map(([key, value]) => ({
      key,
      value,
      propagateAtLaunch: true,
    })),
  }
}

/** An instance is in service once its user data says so. One that never says so is replaced. */
export const launchHookArgs = {
  name: launchHook,
  lifecycleTransition: 'autoscaling:EC2_INSTANCE_LAUNCHING',
  heartbeatTimeout: launchSeconds,
  defaultResult: 'ABANDON',
}

/** What a service reads from its environment, besides secrets. */
export type ServiceEnvironment = Record<string, $util.Input<string>>

/** The script of a tier's instances, once everything that it names is known. In base64, as a template wants it. */
export function userDataOf(options: {
  tier: Tier
  imageUri: $util.Input<string>
  logGroup: aws.cloudwatch.LogGroup
  environment: ServiceEnvironment
  port: number
  stopSeconds: number
}): $util.Output<string> {
  const { tier, imageUri, logGroup, environment, port, stopSeconds } = options
  const values = $util.output(environment)
  return $resolve([imageUri, logGroup.name]).apply(([image, name]) =>
    values.apply((variables) => {
      const script = renderUserData({
        tier,
        image,
        environment: variables,
        port,
        logGroup: name,
        launchHook,
        stopSeconds,
      })
      return Buffer.from(script).toString('base64')
    }),
  )
}
