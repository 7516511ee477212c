import { DeleteObjectsCommand, type S3Client } from '@aws-sdk/client-s3'
import { AppError } from '../service/app-error.ts'
import type { UploadAddress } from '../uploads/upload-address.ts'
import { uploadVariantsPrefix } from './object-keys.ts'
import { paginateObjectVersions } from './pages.ts'

/** S3 accepts at most this many keys in one request (S3 API, "DeleteObjects"). */
const maxBatchSize = 1000

type StoredVersion = { key: string; versionId: string; lastModifiedMs: number }

/**
 * Finds and deletes single variants of uploads that exist. All variants of an erased upload are deleted by
 * `erase-objects.ts`.
 *
 * @param deps.bucket the bucket that is the ledger
 */
export function createStoredVariants({ s3, bucket }: { s3: S3Client; bucket: string }) {
  /** Lists all versions of all variants of an upload, delete markers included. */
  async function list(address: UploadAddress): Promise<StoredVersion[]> {
    const versions: StoredVersion[] = []
    const listing = { Bucket: bucket, Prefix: uploadVariantsPrefix(address) }
    for await (const { Versions = [], DeleteMarkers = [] } of paginateObjectVersions(
      { client: s3 },
      listing,
    )) {
      for (const { Key: key, VersionId: versionId = 'null', LastModified } of [
        ...Versions,
        ...DeleteMarkers,
      ]) {
        if (key !== undefined) versions.push({ key, versionId, lastModifiedMs: LastModified?.getTime() ?? 0 })
      }
    }
    return versions
  }

  return {
    /** Whether S3 has a version of any variant of an upload. */
    async hasAny(address: UploadAddress): Promise<boolean> {
      return (await list(address)).length > 0
    },

    /**
     * Deletes variants for good. Only versions that were listed before `isObsolete` is asked are deleted: an attempt that writes
     * the same variant meanwhile writes another version.
     *
     * @param prepare is called after the listing. It returns which keys are deleted; `writtenAtMs` is when the newest version
     *   was written (ms since 1970)
     * @returns how many variants were deleted
     * @throws AppError `dependency_unavailable` if S3 did not delete all
     */
    async erase(
      address: UploadAddress,
      prepare: () => Promise<(variant: { key: string; writtenAtMs: number }) => boolean>,
    ): Promise<number> {
      const byKey = Map.groupBy(await list(address), ({ key }) => key)
      if (byKey.size === 0) return 0
      const isObsolete = await prepare()
      const obsolete = [...byKey].filter(([key, versions]) =>
        isObsolete({ key, writtenAtMs: Math.max(...versions.map(({ lastModifiedMs }) => lastModifiedMs)) }),
      )
      const versions = obsolete.flatMap(([, each]) => each)
      for (let start = 0; start < versions.length; start += maxBatchSize) {
        const batch = versions.slice(start, start + maxBatchSize)
        const Objects = batch.map(({ key, versionId }) => ({ Key: key, VersionId: versionId }))
        const { Errors: [error] = [] } = await s3.send(
          new DeleteObjectsCommand({ Bucket: bucket, Delete: { Objects, Quiet: true } }),
        )
        if (error)
          throw new AppError('dependency_unavailable', { cause: new Error(`${error.Code} ${error.Message}`) })
      }
      return obsolete.length
    },
  }
}

export type StoredVariants = ReturnType<typeof createStoredVariants>
