import type { FinishErasure } from '@millrace/shared/lifecycle/finish-erasure.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import type { UploadRecords } from '@millrace/shared/uploads/upload-records.ts'

/**
 * Handles erasure markers. S3 publishes an event for each one: of this region, so that an erasure whose API instance
 * died is finished, and of other regions, whose markers S3 copies.
 */
export function createApplyErasure(deps: {
  records: Pick<UploadRecords, 'isErasureVerified'>
  finishErasure: FinishErasure
}) {
  const { records, finishErasure } = deps

  return async function applyErasure(address: UploadAddress): Promise<void> {
    if (!(await records.isErasureVerified(address))) await finishErasure(address)
  }
}

export type ApplyErasure = ReturnType<typeof createApplyErasure>
