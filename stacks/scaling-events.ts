import type { Place } from './place.ts'

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
