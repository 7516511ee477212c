import { fleetMetrics, metricNamespace, stageDimension } from '@millrace/shared/fleet/queue-load.ts'
import { cappedMetric, type ScalingPolicy } from '@millrace/shared/fleet/scaling-policy.ts'
import type { Place } from './place.ts'

/** Identifies a tier's metrics: AWS's own of the group's instances, or ours of the whole stage. */
type Metrics = { namespace: string; dimensions: Record<string, $util.Input<string>> }

/** Returns EC2's metrics, averaged over the group. */
export function instanceMetrics(group: aws.autoscaling.Group): Metrics {
  return { namespace: 'AWS/EC2', dimensions: { AutoScalingGroupName: group.name } }
}

/** Returns the metrics that one process publishes for all workers (queue-load-publisher.ts). */
export function fleetMetricsOf(place: Place): Metrics {
  return { namespace: metricNamespace, dimensions: { [stageDimension]: place.stage } }
}

/**
 * Creates the EC2 Auto Scaling policies of a scaling policy: for each scale-out step a step policy with its own alarm,
 * for scale-in one step policy with a step for each share, for tracking a policy whose alarms AWS creates.
 *
 * @param options.id begins the logical names, for example `Api`
 * @returns the policies and their alarms
 */
export function createScaling(options: {
  place: Place
  id: string
  group: aws.autoscaling.Group
  policy: ScalingPolicy
  metrics: Metrics
}): $util.Resource[] {
  const created: $util.Resource[] = []
  const { place, id, group, policy, metrics } = options
  const period = policy.metricPeriodMs / 1_000
  const { scaleIn, tracking } = policy

  for (const { name, metric, atLeast, periods, percent } of policy.scaleOut) {
    const step = createStepPolicy(`out-${name}`, [
      { metricIntervalLowerBound: '0', scalingAdjustment: percent },
    ])
    createAlarm(`out-${name}`, step, {
      metricName: metric,
      comparisonOperator: 'GreaterThanOrEqualToThreshold',
      threshold: atLeast,
      evaluationPeriods: periods,
      alarmDescription: `Adds ${percent} % of instances`,
    })
  }

  const step = createStepPolicy(
    'in',
    scaleIn.steps.map(({ atMost, percent }, index) => {
      const next = scaleIn.steps[index + 1]
      return {
        metricIntervalUpperBound: bound(atMost - scaleIn.atMost),
        ...(next && { metricIntervalLowerBound: bound(next.atMost - scaleIn.atMost) }),
        scalingAdjustment: -percent,
      }
    }),
  )
  createAlarm('in', step, {
    metricName: scaleIn.metric,
    comparisonOperator: 'LessThanOrEqualToThreshold',
    threshold: scaleIn.atMost,
    evaluationPeriods: scaleIn.periods,
    alarmDescription: 'Removes instances. In alarm whenever there is little work, which is normal',
  })

  if (tracking) {
    const trackingPolicy = new aws.autoscaling.Policy(
      place.id(`${id}Tracking`),
      {
        autoscalingGroupName: group.name,
        policyType: 'TargetTrackingScaling',
        estimatedInstanceWarmup: policy.warmupMs / 1_000,
        targetTrackingConfiguration: {
          targetValue: tracking.target,
          // The alarm above scales in sooner.
          disableScaleIn: true,
          customizedMetricSpecification: {
            metrics: [
              {
                id: 'm1',
                metricStat: {
                  metric: {
                    namespace: metrics.namespace,
                    metricName: tracking.metric,
                    dimensions: Object.entries(metrics.dimensions).map(([name, value]) => ({ name, value })),
                  },
                  stat: 'Average',
                  period,
                },
                returnData: false,
              },
              { id: 'e1', expression: cappedMetric(tracking, 'm1'), returnData: true },
            ],
          },
        },
      },
      place.options,
    )
    created.push(trackingPolicy)
  }
  return created

  function createStepPolicy(
    name: string,
    stepAdjustments: aws.types.input.autoscaling.PolicyStepAdjustment[],
  ) {
    const step = new aws.autoscaling.Policy(
      place.id(`${id}Scale${pascal(name)}`),
      {
        autoscalingGroupName: group.name,
        policyType: 'StepScaling',
        adjustmentType: 'PercentChangeInCapacity',
        minAdjustmentMagnitude: 1,
        metricAggregationType: 'Average',
        estimatedInstanceWarmup: policy.warmupMs / 1_000,
        stepAdjustments,
      },
      place.options,
    )
    created.push(step)
    return step
  }

  function createAlarm(
    name: string,
    action: aws.autoscaling.Policy,
    args: Pick<
      aws.cloudwatch.MetricAlarmArgs,
      'metricName' | 'comparisonOperator' | 'threshold' | 'alarmDescription'
    > & { evaluationPeriods: number },
  ) {
    const alarm = new aws.cloudwatch.MetricAlarm(
      place.id(`${id}Alarm${pascal(name)}`),
      {
        name: place.name(`${id.toLowerCase()}-scale-${name}`),
        ...metrics,
        ...args,
        period,
        statistic: statisticOf(String(args.metricName)),
        // Without data the queue load is unknown, so the number of instances does not change.
        treatMissingData: 'ignore',
        alarmActions: [action.arn],
      },
      place.options,
    )
    created.push(alarm)
  }
}

function statisticOf(metric: string): string {
  return Object.values(fleetMetrics).find(({ name }) => name === metric)?.statistic ?? 'Average'
}

/** Formats a difference of decimal fractions without binary rounding errors. */
function bound(difference: number): string {
  return String(Number(difference.toFixed(6)))
}

function pascal(text: string): string {
  return text.replace(/(^|-)(\w)/g, (_, _dash, letter: string) => letter.toUpperCase())
}
