import { type _Object, paginateListObjectsV2, type S3Client } from '@aws-sdk/client-s3'
import {
  manifestsPrefix,
  originalsPrefix,
  parseManifestKey,
  parseOriginalKey,
} from '@millrace/shared/ledger/object-keys.ts'

/**
 * Announces once more every original that has no manifest yet. The real SQS keeps its messages through
 * anything; the local one forgets them when it stops. Events may come twice anyway, so saying too much
 * does no harm.
 * @param options.announce takes an event in the form of S3's own notifications
 */
export async function resendArrivalEvents(options: {
  s3: S3Client
  bucket: string
  announce: (body: string) => Promise<void>
}) {
  const finished = new Set<string>()
  for await (const { Key: key = '' } of listObjects(options, manifestsPrefix)) {
    const address = parseManifestKey(key)
    if (address) finished.add(address.id)
  }
  for await (const object of listObjects(options, originalsPrefix)) {
    const address = parseOriginalKey(object.Key ?? '')
    if (!address || finished.has(address.id)) continue
    await options.announce(JSON.stringify(objectCreated(options.bucket, object)))
  }
}

async function* listObjects({ s3, bucket }: { s3: S3Client; bucket: string }, prefix: string) {
  for await (const page of paginateListObjectsV2({ client: s3 }, { Bucket: bucket, Prefix: prefix })) {
    yield* page.Contents ?? []
  }
}

/** Amazon S3 User Guide, "Event message structure"; of its fields those that tell what arrived. */
function objectCreated(bucket: string, object: _Object) {
  // "The object key name value is URL encoded", the way of HTML forms.
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
