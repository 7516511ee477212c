import {
  CloudWatchClient,
  type MetricDatum,
  PutMetricDataCommand,
  type StandardUnit,
} from '@aws-sdk/client-cloudwatch'
import { depthOf, type QueueLoadSample } from './fleet-journal.ts'
import { bucketMs, countOf, type LatencyHistogram } from './latency-histogram.ts'
import { fleetMetrics, metricNamespace, stageDimension } from './queue-load.ts'

/** In seconds. Only metrics with this resolution can be read in periods of less than a minute. */
const storageResolution = 1
/** CloudWatch's maximum per datum. */
const maxValues = 150

/** In ms. Metrics that are later than about one period are of no use. */
const timeouts = { connectionTimeout: 3_000, requestTimeout: 8_000 }

/** Connects to CloudWatch with the endpoint and credentials of the SDK's own variables. */
export function connectCloudWatch(): CloudWatchClient {
  return new CloudWatchClient({ requestHandler: timeouts })
}

/** One period: its samples, its demand (`demandOf`), and the jobs that finished in it. */
export type MetricsPeriod = {
  startedAtMs: number
  samples: QueueLoadSample[]
  demand: number
  finished: LatencyHistogram
}

/**
 * Writes the fleet's metrics to CloudWatch: one request per period, including zeros. Only the job duration is left
 * out if no job finished, since a zero would distort the average.
 *
 * @param deps.stage the value of the metrics' only dimension
 */
export function createCloudWatchMetrics({
  cloudWatch,
  stage,
}: {
  cloudWatch: CloudWatchClient
  stage: string
}) {
  return async function putFleetMetrics({
    startedAtMs,
    samples,
    demand,
    finished,
  }: MetricsPeriod): Promise<void> {
    const valuesOf = (read: (sample: QueueLoadSample) => number) => ({ Values: samples.map(read) })
    const data: [keyof typeof fleetMetrics, Pick<MetricDatum, 'Value' | 'Values' | 'Counts'>][] = [
      ['load', valuesOf(({ load }) => load)],
      ['demand', { Value: demand }],
      ['queueDepth', valuesOf(depthOf)],
      ['oldestJobAge', valuesOf(({ oldestJobAgeMs }) => oldestJobAgeMs / 1000)],
      ['workerSlots', valuesOf(({ slots }) => slots)],
      ['jobsFinished', { Value: countOf(finished) }],
      ...durations(finished),
    ]
    await cloudWatch.send(
      new PutMetricDataCommand({
        Namespace: metricNamespace,
        MetricData: data.map(([metric, values]) => {
          const { name, unit }: { name: string; unit: StandardUnit } = fleetMetrics[metric]
          return {
            MetricName: name,
            Unit: unit,
            Dimensions: [{ Name: stageDimension, Value: stage }],
            Timestamp: new Date(startedAtMs),
            StorageResolution: storageResolution,
            ...values,
          }
        }),
      }),
    )
  }
}

export type PutFleetMetrics = ReturnType<typeof createCloudWatchMetrics>

function durations(finished: LatencyHistogram): ['jobDuration', Pick<MetricDatum, 'Values' | 'Counts'>][] {
  const chunks = Array.from({ length: Math.ceil(finished.length / maxValues) }, (_, index) =>
    finished.slice(index * maxValues, (index + 1) * maxValues),
  )
  return chunks.map((chunk) => [
    'jobDuration',
    { Values: chunk.map(([bucket]) => bucketMs(bucket)), Counts: chunk.map(([, count]) => count) },
  ])
}
