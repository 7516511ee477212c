import { type _Object, paginateListObjectsV2, type S3Client } from '@aws-sdk/client-s3'
import {
  manifestsPrefix,
  originalsPrefix,
  parseManifestKey,
  parseOriginalKey,
} from '@millrace/shared/ledger/object-keys.ts'

/**
 * Sends an event again for every original that has no manifest yet. AWS' SQS stores its messages durably; the
 * local one loses them when it stops. Consumers accept duplicate events, so an unnecessary event does no harm.
 * @param options.sendEvent receives the body of an S3 event notification
 */
export async function resendArrivalEvents(options: {
  s3: S3Client
  bucket: string
  sendEvent: (body: string) => Promise<void>
}) {
  const finished = new Set<string>()
  for await (const { Key: key = '' } of listObjects(options, manifestsPrefix)) {
    const address = parseManifestKey(key)
    if (address) finished.add(address.id)
  }
  for await (const object of listObjects(options, originalsPrefix)) {
    const address = parseOriginalKey(object.Key ?? '')
    if (!address || finished.has(address.id)) continue
    await options.sendEvent(JSON.stringify(objectCreated(options.bucket, object)))
  }
}

async function* listObjects({ s3, bucket }: { s3: S3Client; bucket: string }, prefix: string) {
  for await (const page of paginateListObjectsV2({ client: s3 }, { Bucket: bucket, Prefix: prefix })) {
    yield* page.Contents ?? []
  }
}

/** Amazon S3 User Guide, "Event message structure"; only the fields that identify the arrival. */
function objectCreated(bucket: string, object: _Object) {
  // "The object key name value is URL encoded", in the form encoding: a space becomes a plus sign.
  const key = new URLSearchParams({ key: object.Key ?? '' }).toString().slice('key='.length)
  return {
    Records: [
      {
        eventVersion: '2.1',
        eventSource: 'aws:s3',
        eventTime: (object.LastModified ?? new Date()).toISOString(),
        eventName: 'ObjectCreated:Put',
        s3: {
          s3SchemaVersion: '1.0',
          bucket: { name: bucket, arn: `arn:aws:s3:::${bucket}` },
          object: { key, size: object.Size ?? 0, eTag: object.ETag?.replaceAll('"', '') ?? '' },
        },
      },
    ],
  }
}
