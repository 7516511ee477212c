import { setTimeout as delay } from 'node:timers/promises'
import { GetObjectCommand } from '@aws-sdk/client-s3'
import { GetQueueAttributesCommand, type QueueAttributeName } from '@aws-sdk/client-sqs'
import { paginateObjectVersions } from '@millrace/shared/ledger/pages.ts'
import type { Fleet } from './fleet.ts'
import { readManifest } from './ledger.ts'
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

/** The latest version of an object. `atMs`: when it was written, in ms since 1970. */
type ListedVersion = { key: string; etag: string; atMs: number }

/** Returns the etag of the bytes that a manifest describes. */
async function readEtag({ cloud }: Fleet, key: string): Promise<string | undefined> {
  const object = await cloud.s3.send(new GetObjectCommand({ Bucket: cloud.bucket, Key: key }))
  return readManifest(JSON.parse((await object.Body?.transformToString()) ?? '{}')).arrivalEtag
}

/** What has not settled yet. */
export type Unsettled = { unfinished: number; erased: number; messages: number; jobs: number }

/**
 * Counts what is still to be done: originals without a manifest of their bytes, objects of erased uploads, messages in SQS
 * and jobs.
 * @param isErased whether an owner has the receipt of an upload's erasure
 */
async function countUnsettled(fleet: Fleet, isErased: (id: string) => boolean): Promise<Unsettled> {
  const { s3, bucket } = fleet.cloud
  const originals = new Map<string, ListedVersion>()
  const manifests = new Map<string, ListedVersion>()
  let erased = 0
  for (const prefix of ['originals/', 'manifests/']) {
    for await (const page of paginateObjectVersions({ client: s3 }, { Bucket: bucket, Prefix: prefix })) {
      for (const { Key: key = '', ETag: etag = '', IsLatest, LastModified } of page.Versions ?? []) {
        const id =
          key
            .split('/')
            .at(-1)
            ?.replace(/\.json$/, '') ?? ''
        if (isErased(id)) erased += 1
        else if (IsLatest) {
          const listed = { key, etag: etag.replaceAll('"', ''), atMs: LastModified?.getTime() ?? 0 }
          if (prefix === 'originals/') originals.set(id, listed)
          else manifests.set(id, listed)
        }
      }
    }
  }
  let unfinished = 0
  for (const [id, original] of originals) {
    const manifest = manifests.get(id)
    if (manifest && manifest.atMs >= original.atMs) continue
    // The same bytes may have come again after their manifest.
    if (!manifest || (await readEtag(fleet, manifest.key)) !== original.etag) unfinished += 1
  }
  const { waiting, invisible } = await countMessages(fleet)
  const jobs = Object.values(await countJobs(fleet.redis.admin())).reduce((sum, count) => sum + count, 0)
  return { unfinished, erased, messages: waiting + invisible, jobs }
}

/**
 * Waits until everything is done. A slow machine only takes longer: the wait ends early only if nothing gets done.
 * @param options.standstillMs how long nothing may get done, in ms
 * @param options.limitMs the longest wait, in ms
 * @param options.onProgress called every two seconds
 * @returns whether everything was done
 */
export async function settle(
  fleet: Fleet,
  options: {
    isErased: (id: string) => boolean
    standstillMs: number
    limitMs: number
    onProgress?: (unsettled: Unsettled) => void
  },
): Promise<boolean> {
  const startedAtMs = Date.now()
  let least = Number.POSITIVE_INFINITY
  let progressAtMs = startedAtMs
  // Nothing tells when S3, SQS and Redis are all quiet, so they are polled.
  for (;;) {
    const unsettled = await countUnsettled(fleet, options.isErased)
    options.onProgress?.(unsettled)
    const total = Object.values(unsettled).reduce((sum, count) => sum + count, 0)
    if (total === 0) return true
    const nowMs = Date.now()
    if (total < least) progressAtMs = nowMs
    least = Math.min(least, total)
    if (nowMs - progressAtMs > options.standstillMs || nowMs - startedAtMs > options.limitMs) return false
    await delay(pollMs)
  }
}
