import type { Tier } from '@millrace/shared/fleet/heartbeats.ts'
import { fleetMetrics, metricNamespace, stageDimension } from '@millrace/shared/fleet/queue-load.ts'
import type { EventsQueue } from './events-queue.ts'
import type { LoadBalancer } from './load-balancer.ts'
import type { Place } from './place.ts'
import type { Redis } from './redis.ts'
import { scaleInQuery, scaleOutQuery } from './scaling-events.ts'

/** The width of CloudWatch's grid, in its units. */
const full = 24
const height = 6

/**
 * Creates the region's dashboard: instances and requests, CPU, network, latency, health, scaling events of the last day,
 * and the queue.
 */
export function createDashboard(options: {
  place: Place
  loadBalancer: LoadBalancer
  queue: EventsQueue
  redis: Redis
  groups: { api: aws.autoscaling.Group; worker: aws.autoscaling.Group }
  scalingLog: aws.cloudwatch.LogGroup
}) {
  const { place, loadBalancer, queue, redis, groups, scalingLog } = options
  const { region } = place
  const balancer = ['LoadBalancer', loadBalancer.loadBalancer.arnSuffix]
  const targets = ['TargetGroup', loadBalancer.targets.arnSuffix, ...balancer]
  const group = (tier: Tier) => ['AutoScalingGroupName', groups[tier].name]
  const fleet = (metric: keyof typeof fleetMetrics) => {
    const { name, statistic } = fleetMetrics[metric]
    return [metricNamespace, name, stageDimension, place.stage, { stat: statistic, label: name }]
  }

  const rows = [
    [
      numbers('Active instances', [
        ['AWS/AutoScaling', 'GroupInServiceInstances', ...group('api'), { label: 'API', stat: 'Average' }],
        [
          'AWS/AutoScaling',
          'GroupInServiceInstances',
          ...group('worker'),
          { label: 'Workers', stat: 'Average' },
        ],
      ]),
      numbers('Requests a minute', [
        ['AWS/ApplicationELB', 'RequestCount', ...balancer, { label: 'Requests', stat: 'Sum' }],
      ]),
    ],
    [
      lines('CPU utilization (%)', [
        ['AWS/EC2', 'CPUUtilization', ...group('api'), { label: 'API', stat: 'Average' }],
        ['AWS/EC2', 'CPUUtilization', ...group('worker'), { label: 'Workers', stat: 'Average' }],
      ]),
    ],
    [
      lines(
        'Network (MB/s)',
        // CloudWatch has bytes of a period, of all instances of a group together.
        converted('m / PERIOD(m) / 1000000', [
          { label: 'API in', stat: 'Sum', metric: ['AWS/EC2', 'NetworkIn', ...group('api')] },
          { label: 'API out', stat: 'Sum', metric: ['AWS/EC2', 'NetworkOut', ...group('api')] },
          { label: 'Workers in', stat: 'Sum', metric: ['AWS/EC2', 'NetworkIn', ...group('worker')] },
          { label: 'Workers out', stat: 'Sum', metric: ['AWS/EC2', 'NetworkOut', ...group('worker')] },
          {
            label: 'Load balancer',
            stat: 'Sum',
            metric: ['AWS/ApplicationELB', 'ProcessedBytes', ...balancer],
          },
        ]),
      ),
    ],
    [
      lines(
        'Request latency (ms)',
        // The load balancer measures seconds.
        converted(
          'm * 1000',
          ['p50', 'p95', 'p99'].map((stat) => ({
            label: stat,
            stat,
            metric: ['AWS/ApplicationELB', 'TargetResponseTime', ...targets],
          })),
        ),
      ),
    ],
    [
      numbers('Health check status', [
        ['AWS/ApplicationELB', 'HealthyHostCount', ...targets, { label: 'Healthy', stat: 'Minimum' }],
        ['AWS/ApplicationELB', 'UnHealthyHostCount', ...targets, { label: 'Unhealthy', stat: 'Maximum' }],
      ]),
      lines('Responses 4xx, 5xx', [
        ['AWS/ApplicationELB', 'HTTPCode_Target_4XX_Count', ...targets, { label: '4xx', stat: 'Sum' }],
        ['AWS/ApplicationELB', 'HTTPCode_Target_5XX_Count', ...targets, { label: '5xx', stat: 'Sum' }],
        [
          'AWS/ApplicationELB',
          'HTTPCode_ELB_5XX_Count',
          ...balancer,
          { label: 'load balancer 5xx', stat: 'Sum' },
        ],
      ]),
    ],
    [
      logTable('Scale-outs (last 24 h)', scaleOutQuery(scalingLog)),
      logTable('Scale-ins (last 24 h)', scaleInQuery(scalingLog)),
      lines('Desired instances', [
        ['AWS/AutoScaling', 'GroupDesiredCapacity', ...group('api'), { label: 'API', stat: 'Average' }],
        [
          'AWS/AutoScaling',
          'GroupDesiredCapacity',
          ...group('worker'),
          { label: 'Workers', stat: 'Average' },
        ],
      ]),
    ],
    [
      lines('Queue depth', [
        fleet('queueDepth'),
        [
          'AWS/SQS',
          'ApproximateNumberOfMessagesVisible',
          'QueueName',
          queue.queue.name,
          { label: 'in SQS', stat: 'Maximum' },
        ],
      ]),
      lines('Age of the oldest job (s)', [fleet('oldestJobAge')]),
      lines('Jobs finished a minute', [fleet('jobsFinished')]),
      numbers('Dead letters', [
        [
          'AWS/SQS',
          'ApproximateNumberOfMessagesVisible',
          'QueueName',
          queue.deadLetters.name,
          { label: 'Dead letters', stat: 'Maximum' },
        ],
      ]),
    ],
    [
      lines('Queue load, demand, slots', [fleet('load'), fleet('demand'), fleet('workerSlots')]),
      lines(
        'Redis: memory, CPU (%)',
        redis.nodes.flatMap((node) =>
          ['DatabaseMemoryUsagePercentage', 'EngineCPUUtilization'].map((metric) => [
            'AWS/ElastiCache',
            metric,
            'CacheClusterId',
            node,
            { stat: 'Maximum' },
          ]),
        ),
      ),
    ],
  ]

  return new aws.cloudwatch.Dashboard(
    place.id('Dashboard'),
    {
      dashboardName: place.isHome ? place.name('fleet') : place.name(`fleet-${region}`),
      dashboardBody: $jsonStringify({
        start: '-PT24H',
        widgets: rows.flatMap((row, line) =>
          row.map((widget, column) => ({
            ...widget,
            x: (column * full) / row.length,
            y: line * height,
            width: full / row.length,
            height,
          })),
        ),
      }),
    },
    place.options,
  )

  /** Lines of metrics in another unit: each metric is hidden, and a formula, which calls it m, is drawn in its place. */
  function converted(
    formula: string,
    sources: { label: string; stat: string; metric: $util.Input<string>[] }[],
  ): unknown[] {
    return sources.flatMap(({ label, stat, metric }, index) => {
      const id = `m${index + 1}`
      return [
        [...metric, { id, stat, visible: false }],
        [{ id: `e${index + 1}`, label, expression: formula.replaceAll(/\bm\b/g, id) }],
      ]
    })
  }

  function logTable(title: string, query: $util.Input<string>) {
    return { type: 'log', properties: { title, region, view: 'table', query } }
  }

  function numbers(title: string, metrics: unknown[]) {
    return {
      type: 'metric',
      properties: { title, region, metrics, view: 'singleValue', period: 60, sparkline: true },
    }
  }

  function lines(title: string, metrics: unknown[]) {
    return {
      type: 'metric',
      properties: { title, region, metrics, view: 'timeSeries', period: 60, yAxis: { left: { min: 0 } } },
    }
  }
}
