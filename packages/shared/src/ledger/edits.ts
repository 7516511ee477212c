import type { S3Client } from '@aws-sdk/client-s3'
import { Compile } from 'typebox/compile'
import { UploadEdit } from '../uploads/upload.ts'
import type { UploadAddress } from '../uploads/upload-address.ts'
import { createJsonObjects, type StoredJson } from './json-objects.ts'
import { editKey } from './object-keys.ts'

const editValidator = Compile(UploadEdit)

/** An edit as it is in S3. The etag identifies this content. */
export type StoredEdit = StoredJson<UploadEdit>

/**
 * Reads and writes edits: what was changed of uploads since they were announced.
 *
 * Cost: a GET for each lookup that reads S3 because Redis has no checked record (0.0004 USD for 1,000; S3 Standard,
 * us-east-1, 2026), and none for a file on its usual way.
 *
 * @param deps.s3 the client
 * @param deps.bucket the bucket that is the ledger
 */
export function createEdits(deps: { s3: S3Client; bucket: string }) {
  const objects = createJsonObjects(deps, editValidator)
  return {
    /**
     * Reads an edit and its etag.
     * @throws AppError `unreadable_record` if another version wrote the edit in another form
     */
    readStored: (address: UploadAddress): Promise<StoredEdit | undefined> =>
      objects.readStored(editKey(address)),

    /** Reads an edit, as `readStored` does. */
    read: (address: UploadAddress): Promise<UploadEdit | undefined> => objects.read(editKey(address)),

    /**
     * Writes an edit, unless another process wrote one since the caller read it.
     * @param expected the edit that is replaced; undefined for the first one
     * @returns false if S3 has another one: the caller reads it and decides again
     */
    write: (address: UploadAddress, edit: UploadEdit, expected: StoredEdit | undefined): Promise<boolean> =>
      objects.writeIf(editKey(address), edit, expected),

    /** Deletes the edit of an upload that does not exist. Erasing an upload deletes all versions of it. */
    delete: (address: UploadAddress): Promise<void> => objects.delete(editKey(address)),
  }
}

export type Edits = ReturnType<typeof createEdits>
