import type { DeleteRejectedOriginal } from '../erasure/delete-rejected-original.ts'
import type { QuotaReservations } from '../quotas/quota-reservations.ts'
import type { Arrival } from '../uploads/upload.ts'
import type { UploadAddress } from '../uploads/upload-address.ts'

/** Removes the bytes of files that differ from what was announced, and releases their quota. */
export function createRemoveRejectedBytes(deps: {
  deleteRejectedOriginal: DeleteRejectedOriginal
  quotaReservations: Pick<QuotaReservations, 'release'>
}) {
  /** @param arrival the rejected bytes; others that arrived since are not deleted */
  return async function removeRejectedBytes(address: UploadAddress, arrival: Arrival): Promise<void> {
    await deps.deleteRejectedOriginal(address, arrival)
    await deps.quotaReservations.release(address)
  }
}

export type RemoveRejectedBytes = ReturnType<typeof createRemoveRejectedBytes>
