import { ListObjectsV2Command, type S3Client } from '@aws-sdk/client-s3'
import Type, { type Static } from 'typebox'
import { Compile } from 'typebox/compile'
import { createJsonObjects } from '../ledger/json-objects.ts'
import { parseWithdrawalKey, withdrawalKey, withdrawnPrefix } from '../ledger/object-keys.ts'
import type { UploadAddress } from '../uploads/upload-address.ts'

/** Variants that were served and must not be served any more. */
export const Withdrawal = Type.Object({
  version: Type.Literal(1),
  keys: Type.Optional(
    Type.Array(Type.String(), { description: 'none: the upload is erased, with all variants' }),
  ),
})
export type Withdrawal = Static<typeof Withdrawal>

/** A withdrawal in a listing. `changedAtMs`: when it was written last, in ms since 1970. */
export type ListedWithdrawal = UploadAddress & { etag: string; changedAtMs: number }

const validator = Compile(Withdrawal)

/**
 * Records which variants are withdrawn: those of erased uploads, and those of uploads that were `ready` and are rejected now. A
 * worker deletes what is left of them and invalidates a CDN's copies (worker/withdrawals). The record is in S3, so that neither
 * a crash nor a Redis that lost its data leaves a copy.
 *
 * @param deps.bucket the bucket that is the ledger
 */
export function createWithdrawals({ s3, bucket }: { s3: S3Client; bucket: string }) {
  const objects = createJsonObjects({ s3, bucket }, validator)
  return {
    /** Records that variants are withdrawn. Call it before they are deleted. @param keys undefined: all, with the upload */
    async add(address: UploadAddress, keys?: string[]): Promise<void> {
      await objects.write(withdrawalKey(address), { version: 1, ...(keys && { keys }) })
    },

    /** Lists the withdrawals that are not finished, up to 1,000, in the order of owners and ids. */
    async list(): Promise<ListedWithdrawal[]> {
      const { Contents = [] } = await s3.send(
        new ListObjectsV2Command({ Bucket: bucket, Prefix: withdrawnPrefix }),
      )
      return Contents.flatMap(({ Key = '', LastModified, ETag: etag = '' }) => {
        const address = parseWithdrawalKey(Key)
        return address ? [{ ...address, etag, changedAtMs: LastModified?.getTime() ?? 0 }] : []
      })
    },

    /** Reads a withdrawal; undefined if it is finished. */
    read: (address: UploadAddress): Promise<Withdrawal | undefined> => objects.read(withdrawalKey(address)),

    /** Removes a withdrawal that is finished. */
    remove: (address: UploadAddress): Promise<void> => objects.delete(withdrawalKey(address)),
  }
}

export type Withdrawals = ReturnType<typeof createWithdrawals>
