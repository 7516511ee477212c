import { GetQueueAttributesCommand, type SQSClient } from '@aws-sdk/client-sqs'
import type { UploadQueue } from '../jobs/process-upload-job.ts'
import type { QueueLoadSample } from './fleet-journal.ts'
import type { Heartbeat, Heartbeats } from './heartbeats.ts'
import { queueLoadOf } from './queue-load.ts'

/** Timeout of the SQS request, in ms. The next sample follows soon. */
const timeoutMs = 3_000

/** A sample of the queue, and the heartbeats of all running processes. */
export type FleetSample = { queue: QueueLoadSample; processes: Heartbeat[] }

/**
 * Samples the queue: waiting jobs in SQS and BullMQ, active jobs, and worker slots.
 *
 * @param deps.now ms since 1970
 */
export function createQueueSampler(deps: {
  queue: UploadQueue
  sqs: SQSClient
  queueUrl: string
  heartbeats: Heartbeats
  now?: () => number
}) {
  const { queue, sqs, queueUrl, heartbeats, now = Date.now } = deps

  return async function sampleQueue(): Promise<FleetSample> {
    const [notRelayed, { oldestAddedAt, ...jobs }, processes] = await Promise.all([
      visibleMessages(),
      queue.counts(),
      heartbeats.list(),
    ])
    const slots = processes
      .filter(({ tier, state }) => tier === 'worker' && state === 'serving')
      .reduce((sum, worker) => sum + worker.slots, 0)
    const sample = {
      at: new Date(now()).toISOString(),
      load: queueLoadOf({ ...jobs, notRelayed, slots }),
      ...jobs,
      notRelayed,
      slots,
      oldestJobAgeMs: oldestAddedAt === undefined ? 0 : Math.max(0, now() - oldestAddedAt),
    }
    return { queue: sample, processes }
  }

  async function visibleMessages(): Promise<number> {
    const { Attributes: attributes } = await sqs.send(
      new GetQueueAttributesCommand({
        QueueUrl: queueUrl,
        AttributeNames: ['ApproximateNumberOfMessages'],
      }),
      { abortSignal: AbortSignal.timeout(timeoutMs) },
    )
    return Number(attributes?.ApproximateNumberOfMessages ?? 0)
  }
}

export type SampleQueue = ReturnType<typeof createQueueSampler>
