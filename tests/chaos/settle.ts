import { setTimeout as delay } from 'node:timers/promises'
import { GetQueueAttributesCommand, type QueueAttributeName } from '@aws-sdk/client-sqs'
import { paginateObjectVersions } from '@millrace/shared/ledger/pages.ts'
import type { Fleet } from './fleet.ts'
import { countJobs } from './redis-evidence.ts'

const pollMs = 2_000

/** Counts the messages of the events queue and of its dead-letter queue. */
export async function countMessages({ cloud }: Fleet) {
  const count = async (url: string) => {
    const { Attributes = {} } = await cloud.sqs.send(
      new GetQueueAttributesCommand({ QueueUrl: url, AttributeNames: ['All'] }),
    )
    const numberOf = (name: QueueAttributeName) => Number(Attributes[name] ?? 0)
    return {
      waiting: numberOf('ApproximateNumberOfMessages') + numberOf('ApproximateNumberOfMessagesDelayed'),
      invisible: numberOf('ApproximateNumberOfMessagesNotVisible'),
    }
  }
  const [events, dead] = [await count(cloud.queueUrl), await count(cloud.deadLetterQueueUrl)]
  return { ...events, dead: dead.waiting + dead.invisible }
}

/** What has not settled yet. */
export type Unsettled = { unfinished: number; erased: number; messages: number; jobs: number }

/**
 * Counts what is still to be done: originals without a manifest that is newer, objects of erased uploads, messages in SQS
 * and jobs.
 * @param isErased whether an owner has the receipt of an upload's erasure
 */
async function countUnsettled(fleet: Fleet, isErased: (id: string) => boolean): Promise<Unsettled> {
  const { s3, bucket } = fleet.cloud
  const originals = new Map<string, number>()
  const manifests = new Map<string, number>()
  let erased = 0
  for (const prefix of ['originals/', 'manifests/']) {
    for await (const page of paginateObjectVersions({ client: s3 }, { Bucket: bucket, Prefix: prefix })) {
      for (const { Key: key = '', IsLatest, LastModified } of page.Versions ?? []) {
        const id =
          key
            .split('/')
            .at(-1)
            ?.replace(/\.json$/, '') ?? ''
        if (isErased(id)) erased += 1
        else if (IsLatest) {
          const times = prefix === 'originals/' ? originals : manifests
          times.set(id, LastModified?.getTime() ?? 0)
        }
      }
    }
  }
  const unfinished = [...originals].filter(([id, atMs]) => (manifests.get(id) ?? 0) < atMs)
  const { waiting, invisible } = await countMessages(fleet)
  const jobs = Object.values(await countJobs(fleet.redis.admin())).reduce((sum, count) => sum + count, 0)
  return { unfinished: unfinished.length, erased, messages: waiting + invisible, jobs }
}

/**
 * Waits until everything is done.
 * @param options.deadlineMs ms since 1970
 * @param options.onProgress called every two seconds
 * @returns whether it was done before the deadline
 */
export async function settle(
  fleet: Fleet,
  options: {
    isErased: (id: string) => boolean
    deadlineMs: number
    onProgress: (unsettled: Unsettled) => void
  },
): Promise<boolean> {
  // Nothing tells when S3, SQS and Redis are all quiet, so they are polled.
  for (;;) {
    const unsettled = await countUnsettled(fleet, options.isErased)
    options.onProgress(unsettled)
    if (Object.values(unsettled).every((count) => count === 0)) return true
    if (Date.now() > options.deadlineMs) return false
    await delay(pollMs)
  }
}
