import {
  CloudWatchClient,
  type MetricDatum,
  PutMetricDataCommand,
  type StandardUnit,
} from '@aws-sdk/client-cloudwatch'
import { depthOf, type QueueLoadSample } from './fleet-journal.ts'
import { bucketMs, countOf, type LatencyHistogram } from './latency-histogram.ts'
import { fleetMetrics, metricNamespace, stageDimension } from './queue-load.ts'

/** Seconds. Only what is stored like this can be looked at in periods of less than a minute. */
const storageResolution = 1
/** Of one datum: the most that CloudWatch takes. */
const maxValues = 150

/** In milliseconds. What takes longer than a period or so is of no use any more. */
const timeLimits = { connectionTimeout: 3_000, requestTimeout: 8_000 }

/** CloudWatch, where and as whom the SDK's own variables say. */
export function connectCloudWatch(): CloudWatchClient {
  return new CloudWatchClient({ requestHandler: timeLimits })
}

/** One period: its samples, what arrived in it (`demandOf`), and the jobs that ended in it. */
export type LoadPeriod = {
  startedAtMs: number
  samples: QueueLoadSample[]
  demand: number
  finished: LatencyHistogram
}

/**
 * Writes the fleet's load and what explains it to CloudWatch: one request a period, zeros included. Only the
 * duration of jobs is left out where none ended: a zero would be the duration of a job that never was.
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
  }: LoadPeriod): Promise<void> {
    const each = (read: (sample: QueueLoadSample) => number) => ({ Values: samples.map(read) })
    const data: [keyof typeof fleetMetrics, Pick<MetricDatum, 'Value' | 'Values' | 'Counts'>][] = [
      ['load', each(({ load }) => load)],
      ['demand', { Value: demand }],
      ['queueDepth', each(depthOf)],
      ['oldestJobAge', each(({ oldestJobAgeMs }) => oldestJobAgeMs / 1000)],
      ['workerSlots', each(({ slots }) => slots)],
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
