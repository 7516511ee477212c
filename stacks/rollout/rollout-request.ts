import Type, { type Static, type TProperties } from 'typebox'
import { Compile } from 'typebox/compile'

const group = <Properties extends TProperties>(properties: Properties) =>
  Type.Object(properties, { additionalProperties: false })
const Text = Type.String({ minLength: 1 })

/** A launch template in one version. A number: Auto Scaling rolls back to nothing else. */
const TemplateVersion = group({ LaunchTemplateId: Text, Version: Type.String({ pattern: '^[1-9]\\d*$' }) })

/** What a group should run, in the words of Auto Scaling's API (`DesiredConfiguration`). */
const RolloutTarget = Type.Union([
  group({ LaunchTemplate: TemplateVersion }),
  group({
    MixedInstancesPolicy: group({
      LaunchTemplate: group({
        LaunchTemplateSpecification: TemplateVersion,
        Overrides: Type.Array(group({ InstanceType: Text }), { minItems: 1 }),
      }),
      InstancesDistribution: group({
        OnDemandBaseCapacity: Type.Integer({ minimum: 0 }),
        OnDemandPercentageAboveBaseCapacity: Type.Integer({ minimum: 0, maximum: 100 }),
        SpotAllocationStrategy: Text,
      }),
    }),
  }),
])
export type RolloutTarget = Static<typeof RolloutTarget>

const RolloutRequest = group({
  region: Text,
  /** The group's name. */
  group: Text,
  /** Another ARN is another group of the same name, so the deploy runs the step again. */
  groupArn: Text,
  target: RolloutTarget,
  /** How long a new instance warms up before the next one is replaced, in seconds. */
  warmupSeconds: Type.Integer({ minimum: 0 }),
  /** Names of alarms that roll the group back. */
  alarms: Type.Array(Text),
  /** Pause between two looks at the refresh, in seconds. */
  pollSeconds: Type.Number({ minimum: 0 }),
  /** How long to wait for a refresh that somebody else started, in minutes. */
  waitMinutes: Type.Number({ minimum: 0 }),
  /** How long the whole step may take, in minutes. */
  limitMinutes: Type.Number({ minimum: 0 }),
})
export type RolloutRequest = Static<typeof RolloutRequest>

const compiled = Compile(RolloutRequest)

/**
 * Reads the request that the deploy passes to the step.
 *
 * @param json the variable `ROLLOUT`
 * @throws Error if it is missing or not a request
 */
export function readRolloutRequest(json: string | undefined): RolloutRequest {
  if (json === undefined) throw new Error('ROLLOUT is missing; `npx sst deploy` sets it.')
  return compiled.Parse(JSON.parse(json))
}

/** Returns the launch template and version of a target. */
export function templateOf(target: RolloutTarget): Static<typeof TemplateVersion> {
  return 'LaunchTemplate' in target
    ? target.LaunchTemplate
    : target.MixedInstancesPolicy.LaunchTemplate.LaunchTemplateSpecification
}
