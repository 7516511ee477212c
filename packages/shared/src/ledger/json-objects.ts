import { isDeepStrictEqual } from 'node:util'
import {
  DeleteObjectCommand,
  GetObjectCommand,
  NoSuchKey,
  PutObjectCommand,
  type S3Client,
  S3ServiceException,
} from '@aws-sdk/client-s3'
import { parseStored, type Validator } from '../connections/stored-json.ts'

/** An object's content, and the etag that identifies it. */
export type StoredJson<Content> = { content: Content; etag: string }

/** Statuses of a conditional write that failed: the object changed, or was deleted, or is being written. */
const conflictStatuses: ReadonlySet<number | undefined> = new Set([404, 409, 412])

/**
 * Reads and writes objects of the ledger that are JSON of one schema: manifests, edits, and what is kept of tenants.
 *
 * @param deps.bucket the bucket that is the ledger
 * @param validator the compiled schema
 */
export function createJsonObjects<Content>(
  { s3, bucket }: { s3: S3Client; bucket: string },
  validator: Validator<Content>,
) {
  async function put(
    key: string,
    content: Content,
    condition: { IfMatch?: string; IfNoneMatch?: string } = {},
  ): Promise<StoredJson<Content>> {
    const Body = JSON.stringify(content)
    const { ETag: etag = '' } = await s3.send(
      new PutObjectCommand({ Bucket: bucket, Key: key, Body, ContentType: 'application/json', ...condition }),
    )
    return { content, etag }
  }

  /**
   * Returns an object and its etag; undefined if there is none.
   * @throws AppError `unreadable_record` if another version wrote it in another form
   */
  async function readStored(
    key: string,
    abortSignal?: AbortSignal,
  ): Promise<StoredJson<Content> | undefined> {
    try {
      const { Body, ETag: etag } = await s3.send(
        new GetObjectCommand({ Bucket: bucket, Key: key }),
        abortSignal && { abortSignal },
      )
      if (!Body || etag === undefined) throw new Error('S3 sent an object without a body or an ETag.')
      return { content: parseStored(validator, await Body.transformToString(), key), etag }
    } catch (error) {
      if (error instanceof NoSuchKey) return undefined
      throw error
    }
  }

  return {
    readStored,

    /** Reads an object, as `readStored` does. */
    async read(key: string, abortSignal?: AbortSignal): Promise<Content | undefined> {
      return (await readStored(key, abortSignal))?.content
    },

    /** Writes an object, whatever S3 has. @returns it with its etag */
    write: (key: string, content: Content): Promise<StoredJson<Content>> => put(key, content),

    /**
     * Writes an object if S3 still has the expected one.
     * @param expected what the caller read; undefined: there was none
     * @returns false if S3 has another one, or has none any more: the caller reads it and decides again
     */
    async writeIf(
      key: string,
      content: Content,
      expected: Pick<StoredJson<Content>, 'etag'> | undefined,
    ): Promise<boolean> {
      try {
        await put(key, content, expected ? { IfMatch: expected.etag } : { IfNoneMatch: '*' })
        return true
      } catch (error) {
        const status = error instanceof S3ServiceException ? error.$metadata.httpStatusCode : undefined
        if (!conflictStatuses.has(status)) throw error
      }
      // The SDK repeats a write whose response was lost. The repetition then fails because of the first one.
      return isDeepStrictEqual((await readStored(key))?.content, JSON.parse(JSON.stringify(content)))
    },

    /** Deletes an object, if there is one. In a versioned bucket its versions stay. */
    async delete(key: string): Promise<void> {
      await s3.send(new DeleteObjectCommand({ Bucket: bucket, Key: key }))
    },
  }
}
