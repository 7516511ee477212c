import { DeleteObjectCommand, type S3Client, S3ServiceException } from '@aws-sdk/client-s3'
import { originalKey } from '../ledger/object-keys.ts'
import { paginateObjectVersions } from '../ledger/pages.ts'
import type { Arrival } from '../uploads/upload.ts'
import type { UploadAddress } from '../uploads/upload-address.ts'

/**
 * Deletes originals whose bytes differ from what was announced. Other bytes that arrived since are not deleted.
 *
 * @param deps.bucket the bucket that is the ledger
 */
export function createDeleteRejectedOriginal({ s3, bucket }: { s3: S3Client; bucket: string }) {
  /** @param arrival the rejected bytes */
  return async function deleteRejectedOriginal(address: UploadAddress, arrival: Arrival): Promise<void> {
    const key = originalKey(address)
    if (!arrival.versionId) return deleteObject({ Bucket: bucket, Key: key, IfMatch: `"${arrival.etag}"` })
    for (const VersionId of await versionsUpTo(key, arrival.versionId)) {
      await deleteObject({ Bucket: bucket, Key: key, VersionId })
    }
  }

  async function deleteObject(input: DeleteObjectCommand['input']): Promise<void> {
    try {
      await s3.send(new DeleteObjectCommand(input))
    } catch (error) {
      const status = error instanceof S3ServiceException ? error.$metadata.httpStatusCode : undefined
      // The object is already deleted, or has other bytes.
      if (status !== 404 && status !== 412) throw error
    }
  }

  /**
   * Lists the version and all older ones, oldest first. In this order, no deletion makes an older version the current
   * one.
   */
  async function versionsUpTo(key: string, versionId: string): Promise<string[]> {
    const ids: string[] = []
    // S3 lists the newest version of a key first.
    for await (const { Versions = [] } of paginateObjectVersions(
      { client: s3 },
      { Bucket: bucket, Prefix: key },
    )) {
      for (const { Key, VersionId } of Versions) if (Key === key && VersionId) ids.push(VersionId)
    }
    const at = ids.indexOf(versionId)
    return at < 0 ? [] : ids.slice(at).reverse()
  }
}

export type DeleteRejectedOriginal = ReturnType<typeof createDeleteRejectedOriginal>
