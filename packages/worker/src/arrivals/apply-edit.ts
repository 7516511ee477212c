import type { Edits } from '@millrace/shared/ledger/edits.ts'
import type { UploadLookup } from '@millrace/shared/lifecycle/upload-lookup.ts'
import { laterEdit, withEdit } from '@millrace/shared/uploads/upload.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import type { UploadRecords } from '@millrace/shared/uploads/upload-records.ts'

/**
 * Handles edits. S3 publishes an event for each one: of this region, so that the record has it although its API instance died,
 * and of other regions, which S3 copies. An edit that is copied before its upload waits in S3.
 */
export function createApplyEdit(deps: {
  edits: Pick<Edits, 'read'>
  lookup: UploadLookup
  records: Pick<UploadRecords, 'update'>
}) {
  const { edits, lookup, records } = deps

  return async function applyEdit(address: UploadAddress): Promise<void> {
    // A record that was not checked gets the edit here. One that was is not compared with S3 as a whole: it may be ahead of
    // its manifest, as while the upload is processed again.
    if (!(await lookup.find(address))) return
    const edit = await edits.read(address)
    if (!edit) return
    await records.update(address, (current) =>
      laterEdit(current.edit, edit) === current.edit ? undefined : withEdit(current, edit),
    )
  }
}

export type ApplyEdit = ReturnType<typeof createApplyEdit>
