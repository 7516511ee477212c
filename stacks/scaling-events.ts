import type { Place } from './place.ts'

/**
 * Writes down what the groups did. CloudWatch keeps only how many instances there were, not why; Auto Scaling tells of
 * each launch and end as an event.
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
      description: 'Launches and ends of instances',
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
