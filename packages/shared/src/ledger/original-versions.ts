import { DeleteObjectCommand, HeadObjectCommand, NotFound, type S3Client } from '@aws-sdk/client-s3'
import type { UploadAddress } from '../uploads/upload-address.ts'
import { originalKey } from './object-keys.ts'
import { unquoted } from './originals.ts'
import { paginateObjectVersions } from './pages.ts'

/** A version of an original in S3: what a client sent at one time. `size` in bytes. */
export type OriginalVersion = { versionId: string; etag: string; size: number }

/**
 * Reads and deletes single versions of originals. A client can send a file several times while its form is valid, and each
 * time S3 stores another version.
 *
 * @param deps.bucket the bucket that is the ledger
 */
export function createOriginalVersions({ s3, bucket }: { s3: S3Client; bucket: string }) {
  /** Returns the checksum that S3 has of a version, with its algorithm. S3 on AWS has one of every object. */
  async function checksumOf(address: UploadAddress, { versionId }: OriginalVersion) {
    const head = await s3.send(
      new HeadObjectCommand({
        Bucket: bucket,
        Key: originalKey(address),
        VersionId: versionId,
        ChecksumMode: 'ENABLED',
      }),
    )
    const { ChecksumSHA256, ChecksumCRC64NVME, ChecksumCRC32, ChecksumCRC32C, ChecksumSHA1 } = head
    return [ChecksumSHA256, ChecksumCRC64NVME, ChecksumCRC32, ChecksumCRC32C, ChecksumSHA1].map(
      (value) => value ?? '',
    )
  }

  return {
    /** Returns all versions, oldest first. Deleted ones are not among them. */
    async list(address: UploadAddress): Promise<OriginalVersion[]> {
      const key = originalKey(address)
      const versions: OriginalVersion[] = []
      // S3 lists the newest version of a key first.
      const pages = paginateObjectVersions({ client: s3 }, { Bucket: bucket, Prefix: key })
      for await (const { Versions = [] } of pages) {
        for (const { Key, VersionId: versionId, ETag = '', Size: size = 0 } of Versions) {
          if (Key === key && versionId) versions.push({ versionId, etag: unquoted(ETag), size })
        }
      }
      return versions.reverse()
    },

    /**
     * Whether two versions have the same bytes. Objects that KMS encrypts have another etag each time (S3 API,
     * "Object": ETag), so their checksums are compared.
     */
    async haveSameBytes(
      address: UploadAddress,
      one: OriginalVersion,
      other: OriginalVersion,
    ): Promise<boolean> {
      if (one.size !== other.size) return false
      if (one.etag === other.etag) return true
      try {
        const [checksums, others] = await Promise.all([checksumOf(address, one), checksumOf(address, other)])
        return checksums.some((value, i) => value !== '' && value === others[i])
      } catch (error) {
        // Another process has deleted one of them.
        if (error instanceof NotFound) return false
        throw error
      }
    },

    /** Whether S3 has a version. */
    async has(address: UploadAddress, versionId: string): Promise<boolean> {
      try {
        await s3.send(
          new HeadObjectCommand({ Bucket: bucket, Key: originalKey(address), VersionId: versionId }),
        )
        return true
      } catch (error) {
        if (error instanceof NotFound) return false
        throw error
      }
    },

    /** Deletes a version for good. If it was the newest one, the one before is the original again. */
    async delete(address: UploadAddress, versionId: string): Promise<void> {
      await s3.send(
        new DeleteObjectCommand({ Bucket: bucket, Key: originalKey(address), VersionId: versionId }),
      )
    },
  }
}

export type OriginalVersions = ReturnType<typeof createOriginalVersions>
