import type { Place } from './place.ts'

/**
 * Finds changes of a group's desired capacity in the sentences with which Auto Scaling explains a launch or termination,
 * such as "At 2026-11-27T09:00:02Z a monitor alarm … in state ALARM triggered policy … changing the desired capacity from
 * 2 to 4. At …". All instances of one change have the same sentence. Instances that replace others (instance refresh,
 * health check, Spot interruption) have none. A group's own creation counts as a scale-out.
 *
 * AWS has no field for it: `Cause` is for people, and its sentences are in AWS' documentation only as examples. If they
 * change, the dashboard shows no events; the log has them still.
 */
const changeOfCapacity = String.raw`(?<change>At \S+ [^.]*changing the desired capacity from \d+ to \d+)`

/** Returns the query that counts, for each tier, changes that launched instances or tried to. */
export function scaleOutQuery(log: aws.cloudwatch.LogGroup) {
  return countChanges(log, 'Launch', 'scaleOuts')
}

/** Returns the query that counts, for each tier, changes that terminated instances. */
export function scaleInQuery(log: aws.cloudwatch.LogGroup) {
  return countChanges(log, 'Terminate', 'scaleIns')
}

function countChanges(log: aws.cloudwatch.LogGroup, kind: 'Launch' | 'Terminate', name: string) {
  return $interpolate`SOURCE '${log.name}'
| filter \`detail-type\` like /${kind}/
| parse detail.Cause /${changeOfCapacity}/
| filter ispresent(change)
| fields detail.AutoScalingGroupName as tier
| stats count_distinct(change) as ${name} by tier`
}

/**
 * Logs launches and terminations of instances. CloudWatch's metrics keep only the number of instances, not the reason;
 * Auto Scaling sends an event for each launch and termination.
 */
export function recordScalingEvents(options: {
  place: Place
  groups: aws.autoscaling.Group[]
  logGroup: aws.cloudwatch.LogGroup
}) {
  const { place, groups, logGroup } = options
  const rule = new aws.cloudwatch.EventRule(
    place.id('ScalingEvents'),
    {
      name: place.name('scaling'),
      description: 'Launches and terminations of instances',
      eventPattern: $jsonStringify({
        source: ['aws.autoscaling'],
        'detail-type': [
          'EC2 Instance Launch Successful',
          'EC2 Instance Launch Unsuccessful',
          'EC2 Instance Terminate Successful',
          'EC2 Instance Terminate Unsuccessful',
        ],
        detail: { AutoScalingGroupName: groups.map(({ name }) => name) },
      }),
    },
    place.options,
  )
  const policy = new aws.cloudwatch.LogResourcePolicy(
    place.id('ScalingEventsPolicy'),
    {
      policyName: place.name('scaling'),
      policyDocument: $jsonStringify({
        Version: '2012-10-17',
        Statement: [
          {
            Effect: 'Allow',
            Principal: { Service: ['events.amazonaws.com', 'delivery.logs.amazonaws.com'] },
            Action: ['logs:CreateLogStream', 'logs:PutLogEvents'],
            Resource: $interpolate`${logGroup.arn}:*`,
          },
        ],
      }),
    },
    place.options,
  )
  new aws.cloudwatch.EventTarget(
    place.id('ScalingEventsTarget'),
    { rule: rule.name, arn: logGroup.arn },
    { ...place.options, dependsOn: [policy] },
  )
}
