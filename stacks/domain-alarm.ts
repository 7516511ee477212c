import { createAlarmTopic } from './alarms.ts'
import { createEncryptionKey } from './encryption-key.ts'
import { createPlace, type Place } from './place.ts'

/** The only region in which Route 53 publishes metrics of health checks (Route 53 Developer Guide, "Monitoring health checks"). */
const route53Region = 'us-east-1'

/**
 * Raises an alarm while the domain does not answer from outside: the only alarm that sees DNS, the certificate and the way
 * to the load balancer. An alarm can notify only topics of its own region. So a stage without us-east-1 gets a topic there.
 */
export function watchDomain(options: {
  regions: { place: Place; topic: aws.sns.Topic; healthCheck: aws.route53.HealthCheck | undefined }[]
  accountId: $util.Input<string>
  email: string | undefined
}) {
  const { regions, accountId, email } = options
  const checks = regions.flatMap(({ place, healthCheck }) =>
    healthCheck ? [{ of: place, healthCheck }] : [],
  )
  const [first] = checks
  if (!first) return
  const { place, topic } =
    regions.find((region) => region.place.region === route53Region) ?? createTopicThere(first.of.stage)
  for (const { of, healthCheck } of checks) {
    new aws.cloudwatch.MetricAlarm(
      of.id('AlarmDomain'),
      {
        name: of.name(`domain-${of.region}`),
        alarmDescription: `The API in ${of.region} does not answer Route 53's health check, for two minutes.`,
        namespace: 'AWS/Route53',
        metricName: 'HealthCheckStatus',
        dimensions: { HealthCheckId: healthCheck.id },
        statistic: 'Minimum',
        period: 60,
        comparisonOperator: 'LessThanThreshold',
        threshold: 1,
        evaluationPeriods: 2,
        treatMissingData: 'breaching',
        alarmActions: [topic.arn],
        okActions: [topic.arn],
      },
      place.options,
    )
  }

  function createTopicThere(stage: string) {
    const there = createPlace({ stage, region: route53Region, isHome: false })
    const key = createEncryptionKey({ place: there, accountId })
    return { place: there, topic: createAlarmTopic({ place: there, key, accountId, email }) }
  }
}
