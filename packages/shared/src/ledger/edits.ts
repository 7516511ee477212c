import {
  DeleteObjectCommand,
  GetObjectCommand,
  NoSuchKey,
  PutObjectCommand,
  type S3Client,
  S3ServiceException,
} from '@aws-sdk/client-s3'
import { Compile } from 'typebox/compile'
import { parseStored } from '../service/stored-json.ts'
import { UploadEdit } from '../uploads/upload.ts'
import type { UploadAddress } from '../uploads/upload-address.ts'
import { editKey } from './object-keys.ts'

const editValidator = Compile(UploadEdit)

/** An edit as it is in S3. The etag identifies this content. */
export type StoredEdit = { edit: UploadEdit; etag: string }

/** Statuses of a conditional write that failed: the object changed, or was deleted, or is being written. */
const conflictStatuses: ReadonlySet<number | undefined> = new Set([404, 409, 412])

/**
 * Reads and writes edits: what was changed of uploads since they were announced.
 *
 * Cost: a GET for each lookup that reads S3 because Redis has no checked record (0.0004 USD for 1,000; S3 Standard,
 * us-east-1, 2026), and none for a file on its usual way.
 *
 * @param deps.s3 the client
 * @param deps.bucket the bucket that is the ledger
 */
export function createEdits({ s3, bucket }: { s3: S3Client; bucket: string }) {
  /** @throws AppError `unreadable_record` if another version wrote the edit in another form */
  async function readStored(address: UploadAddress): Promise<StoredEdit | undefined> {
    const key = editKey(address)
    try {
      const { Body, ETag: etag } = await s3.send(new GetObjectCommand({ Bucket: bucket, Key: key }))
      if (!Body || etag === undefined) throw new Error('S3 sent an edit without a body or an ETag.')
      return { edit: parseStored(editValidator, await Body.transformToString(), key), etag }
    } catch (error) {
      if (error instanceof NoSuchKey) return undefined
      throw error
    }
  }

  return {
    readStored,

    /** Reads an edit, as `readStored` does. */
    async read(address: UploadAddress): Promise<UploadEdit | undefined> {
      return (await readStored(address))?.edit
    },

    /**
     * Writes an edit, unless another process wrote one since the caller read it.
     * @param expected the edit that is replaced; undefined for the first one
     * @returns false if S3 has another one: the caller reads it and decides again
     */
    async write(
      address: UploadAddress,
      edit: UploadEdit,
      expected: StoredEdit | undefined,
    ): Promise<boolean> {
      try {
        await s3.send(
          new PutObjectCommand({
            Bucket: bucket,
            Key: editKey(address),
            Body: JSON.stringify(edit),
            ContentType: 'application/json',
            ...(expected ? { IfMatch: expected.etag } : { IfNoneMatch: '*' }),
          }),
        )
        return true
      } catch (error) {
        const status = error instanceof S3ServiceException ? error.$metadata.httpStatusCode : undefined
        if (conflictStatuses.has(status)) return false
        throw error
      }
    },

    /** Deletes the edit of an upload that does not exist. Erasing an upload deletes all versions of it. */
    async delete(address: UploadAddress): Promise<void> {
      await s3.send(new DeleteObjectCommand({ Bucket: bucket, Key: editKey(address) }))
    },
  }
}

export type Edits = ReturnType<typeof createEdits>
