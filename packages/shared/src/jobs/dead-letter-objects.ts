import { parseEditKey, parseErasureKey, parseManifestKey, parseOriginalKey } from '../ledger/object-keys.ts'
import type { UploadAddress } from '../uploads/upload-address.ts'
import { parseS3Event } from './s3-event.ts'

/** What an event says was written: an upload's bytes, its erasure marker, an edit, a manifest of another region, or neither. */
export const objectKinds = ['original', 'erasure', 'edit', 'manifest', 'other'] as const

/** An object that a dead letter is about, and the upload that it belongs to. */
export type DeadLetterObject = {
  key: string
  kind: (typeof objectKinds)[number]
  upload: UploadAddress | undefined
}

/**
 * Returns the objects that a message is about; undefined if it is not an S3 event in a form that this version can read.
 *
 * @param bucket events of other buckets have no objects here
 */
export function deadLetterObjects(body: string, bucket: string): DeadLetterObject[] | undefined {
  return parseS3Event(body, bucket)?.map(({ key }) => {
    const parsers = {
      original: parseOriginalKey,
      erasure: parseErasureKey,
      edit: parseEditKey,
      manifest: parseManifestKey,
    }
    for (const kind of objectKinds) {
      const upload = kind === 'other' ? undefined : parsers[kind](key)
      if (upload) return { key, kind, upload }
    }
    return { key, kind: 'other', upload: undefined }
  })
}
