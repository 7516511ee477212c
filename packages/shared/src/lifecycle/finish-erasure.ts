import type { ErasedObject, EraseObjects, ObjectVersion } from '../erasure/erase-objects.ts'
import type { Withdrawals } from '../erasure/withdrawals.ts'
import { variantsPrefix } from '../ledger/object-keys.ts'
import type { Quota } from '../quotas/quota.ts'
import type { UploadAddress } from '../uploads/upload-address.ts'
import type { UploadRecords } from '../uploads/upload-records.ts'
import type { ForgetDeliveries } from '../webhooks/forget-deliveries.ts'
import { quotaHolders } from './further-versions.ts'
import type { TellErasure } from './tell-erasure.ts'

/**
 * Finishes erasures whose marker is in S3. Whoever notices an erasure that may be unfinished calls it: the API that
 * began it, the worker that gets the marker's event, and whoever finds objects of an erased upload.
 */
export function createFinishErasure(deps: {
  records: UploadRecords
  eraseObjects: EraseObjects
  quota: Quota
  tellErasure: TellErasure
  forgetDeliveries: ForgetDeliveries
  withdrawals: Pick<Withdrawals, 'add'>
  /** Whether a CDN may have copies of variants. */
  hasCdn: boolean
}) {
  const { records, eraseObjects, quota, tellErasure, forgetDeliveries, withdrawals, hasCdn } = deps

  /**
   * Deletes the record and all objects but the marker, tells webhooks, and releases the quota. A repeated call erases what was written
   * since. Copies of a CDN are invalidated by a worker soon after: the withdrawal is recorded before the variants are deleted.
   *
   * @param options.listed what S3 had before the marker was written. Another process that noticed the marker may have erased
   *   it meanwhile
   * @returns the objects that were listed, and those that were erased in addition
   * @throws AppError `dependency_unavailable` if objects remain
   */
  return async function finishErasure(
    address: UploadAddress,
    { listed = [] }: { listed?: readonly ObjectVersion[] } = {},
  ): Promise<ErasedObject[]> {
    await records.erase(address)
    await forgetDeliveries(address)
    const erased = await eraseObjects(address, {
      listed,
      async beforeFirst(keys) {
        if (hasCdn && keys.some((key) => key.startsWith(variantsPrefix))) await withdrawals.add(address)
        await tellErasure(address, keys)
      },
    })
    for (const holder of quotaHolders(address)) await quota.release(holder)
    await records.verifyErasure(address)
    return erased
  }
}

export type FinishErasure = ReturnType<typeof createFinishErasure>
