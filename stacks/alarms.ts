import { fleetMetrics } from '@millrace/shared/fleet/queue-load.ts'
import type { EncryptionKey } from './encryption-key.ts'
import type { EventsQueue } from './events-queue.ts'
import type { LoadBalancer } from './load-balancer.ts'
import type { Place } from './place.ts'
import type { Redis } from './redis.ts'
import { fleetMetricsOf } from './scaling.ts'
import type { Settings } from './settings.ts'

/** The SNS topic that alarms and the budget publish to, with an email subscription if `email` is set. */
export function createAlarmTopic(options: {
  place: Place
  key: EncryptionKey
  accountId: $util.Input<string>
  email: string | undefined
}) {
  const { place, key, accountId, email } = options
  const topic = new aws.sns.Topic(
    place.id('Alarms'),
    { name: place.name('alarms'), kmsMasterKeyId: key.arn },
    place.options,
  )
  new aws.sns.TopicPolicy(
    place.id('AlarmsPolicy'),
    {
      arn: topic.arn,
      policy: $jsonStringify({
        Version: '2012-10-17',
        Statement: [
          {
            Sid: 'AlarmsAndBudget',
            Effect: 'Allow',
            Principal: { Service: ['cloudwatch.amazonaws.com', 'budgets.amazonaws.com'] },
            Action: 'sns:Publish',
            Resource: topic.arn,
            Condition: { StringEquals: { 'aws:SourceAccount': accountId } },
          },
        ],
      }),
    },
    place.options,
  )
  if (email) {
    new aws.sns.TopicSubscription(
      place.id('AlarmsByMail'),
      { topic: topic.arn, protocol: 'email', endpoint: email },
      place.options,
    )
  }
  return topic
}

/** The name of the alarm that rolls a new API image back. */
export const apiErrorsAlarm = (place: Place) => place.name('api-errors')

/**
 * Creates the alarms that need a person. The description of each explains the alarm; docs/deploy.md lists what to do.
 * Alarms that scale are in scaling.ts.
 *
 * @returns the alarms
 */
export function createAlarms(options: {
  place: Place
  topic: aws.sns.Topic
  loadBalancer: LoadBalancer
  queue: EventsQueue
  redis: Redis
  workers: aws.autoscaling.Group
  settings: Pick<Settings, 'worker'>
}): aws.cloudwatch.MetricAlarm[] {
  const created: aws.cloudwatch.MetricAlarm[] = []
  const { place, topic, loadBalancer, queue, redis, workers, settings } = options
  const balancer = { LoadBalancer: loadBalancer.loadBalancer.arnSuffix }
  const targets = { ...balancer, TargetGroup: loadBalancer.targets.arnSuffix }
  const fleet = fleetMetricsOf(place)

  alarm('ApiErrors', apiErrorsAlarm(place), 'The API sent ten 5xx responses a minute, for two minutes.', {
    namespace: 'AWS/ApplicationELB',
    metricName: 'HTTPCode_Target_5XX_Count',
    dimensions: targets,
    statistic: 'Sum',
    threshold: 10,
    evaluationPeriods: 2,
  })
  alarm(
    'BalancerErrors',
    place.name('balancer-errors'),
    'The load balancer found no instance that responds.',
    {
      namespace: 'AWS/ApplicationELB',
      metricName: 'HTTPCode_ELB_5XX_Count',
      dimensions: balancer,
      statistic: 'Sum',
      threshold: 10,
      evaluationPeriods: 2,
    },
  )
  alarm('Unhealthy', place.name('unhealthy'), 'An API instance fails its health checks, for five minutes.', {
    namespace: 'AWS/ApplicationELB',
    metricName: 'UnHealthyHostCount',
    dimensions: targets,
    statistic: 'Maximum',
    threshold: 1,
    evaluationPeriods: 5,
  })
  alarm('Slow', place.name('slow'), 'One request in twenty takes five seconds, for ten minutes.', {
    namespace: 'AWS/ApplicationELB',
    metricName: 'TargetResponseTime',
    dimensions: targets,
    extendedStatistic: 'p95',
    threshold: 5,
    evaluationPeriods: 10,
  })
  alarm(
    'DeadLetter',
    place.name('dead-letter'),
    'Workers failed to handle an S3 event, after all attempts.',
    {
      namespace: 'AWS/SQS',
      metricName: 'ApproximateNumberOfMessagesVisible',
      dimensions: { QueueName: queue.deadLetters.name },
      statistic: 'Maximum',
      threshold: 1,
      evaluationPeriods: 1,
    },
  )
  alarm(
    'EventsWait',
    place.name('events-wait'),
    'An S3 event has waited for ten minutes: no worker relays it.',
    {
      namespace: 'AWS/SQS',
      metricName: 'ApproximateAgeOfOldestMessage',
      dimensions: { QueueName: queue.queue.name },
      statistic: 'Maximum',
      threshold: 600,
      evaluationPeriods: 2,
    },
  )
  alarm(
    'JobsWait',
    place.name('jobs-wait'),
    'A job has waited for 15 minutes: there are too few workers, or none of them works.',
    {
      ...fleet,
      metricName: fleetMetrics.oldestJobAge.name,
      statistic: fleetMetrics.oldestJobAge.statistic,
      threshold: 900,
      evaluationPeriods: 2,
    },
  )
  alarm(
    'LoadUnknown',
    place.name('load-unknown'),
    'No process publishes the queue load, so workers do not scale.',
    {
      ...fleet,
      metricName: fleetMetrics.load.name,
      statistic: 'SampleCount',
      comparisonOperator: 'LessThanThreshold',
      threshold: 1,
      evaluationPeriods: 5,
      treatMissingData: 'breaching',
    },
  )
  alarm(
    'WorkersAtLimit',
    place.name('workers-at-limit'),
    'The worker tier has been at its maximum size for half an hour.',
    {
      namespace: 'AWS/AutoScaling',
      metricName: 'GroupInServiceInstances',
      dimensions: { AutoScalingGroupName: workers.name },
      statistic: 'Maximum',
      threshold: settings.worker.max,
      evaluationPeriods: 30,
    },
  )
  for (const [index, node] of redis.nodes.entries()) {
    alarm(
      `RedisMemory${index + 1}`,
      place.name(`redis-memory-${index + 1}`),
      'Redis uses 80 % of its memory: writes fail at 100 %.',
      {
        namespace: 'AWS/ElastiCache',
        metricName: 'DatabaseMemoryUsagePercentage',
        dimensions: { CacheClusterId: node },
        statistic: 'Maximum',
        threshold: 80,
        evaluationPeriods: 5,
      },
    )
    alarm(`RedisCpu${index + 1}`, place.name(`redis-cpu-${index + 1}`), 'Redis uses 80 % of its core.', {
      namespace: 'AWS/ElastiCache',
      metricName: 'EngineCPUUtilization',
      dimensions: { CacheClusterId: node },
      statistic: 'Average',
      threshold: 80,
      evaluationPeriods: 5,
    })
  }

  return created

  function alarm(
    id: string,
    name: string,
    description: string,
    args: Omit<aws.cloudwatch.MetricAlarmArgs, 'comparisonOperator'> & { comparisonOperator?: string },
  ) {
    const metricAlarm = new aws.cloudwatch.MetricAlarm(
      place.id(`Alarm${id}`),
      {
        name,
        alarmDescription: description,
        period: 60,
        comparisonOperator: 'GreaterThanOrEqualToThreshold',
        treatMissingData: 'notBreaching',
        ...args,
        alarmActions: [topic.arn],
        okActions: [topic.arn],
      },
      place.options,
    )
    created.push(metricAlarm)
  }
}
