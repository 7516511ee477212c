import { isDeepStrictEqual } from 'node:util'
import { undefinedIfUnreadable } from '@millrace/shared/connections/stored-json.ts'
import type { Erasures } from '@millrace/shared/erasure/erasures.ts'
import type { Edits } from '@millrace/shared/ledger/edits.ts'
import type { FinishErasure } from '@millrace/shared/lifecycle/finish-erasure.ts'
import type { UploadLookup } from '@millrace/shared/lifecycle/upload-lookup.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import { laterEdit, type Upload, type UploadEdit, withEdit } from '@millrace/shared/uploads/upload.ts'
import type { UploadRecords } from '@millrace/shared/uploads/upload-records.ts'
import { checkMetadataLength } from '../announcing/check-intent.ts'

/** How often a change is decided again, because another process changed the same upload meanwhile. */
const attempts = 16

/** A change of an upload. Of the metadata, null deletes a field, and fields that are not named stay (RFC 7396). */
export type Change = { filename?: string; metadata?: Record<string, string | null> }

/** Changes filename and metadata of uploads in any state. */
export function createEditUpload(deps: {
  edits: Pick<Edits, 'readStored' | 'write'>
  erasures: Pick<Erasures, 'isMarked'>
  records: Pick<UploadRecords, 'update'>
  lookup: UploadLookup
  finishErasure: FinishErasure
}) {
  const { edits, erasures, records, lookup, finishErasure } = deps

  /**
   * Writes the edit to S3 first, by compare-and-set, and then the record, which publishes the change. If the process dies in
   * between, the event of the edit lets a worker change the record. Nothing else is rewritten: whoever reads the manifest or
   * the original applies the edit.
   *
   * Like whoever finishes an upload, it reads the erasure marker after it wrote: either the erasure finds the edit, or the
   * marker is seen here (`erasures.ts`).
   *
   * @param found the upload as it was just read
   * @param fixed names of the metadata that this caller cannot change
   * @throws AppError `invalid_request` if the result is too long, `token_limit` if a fixed field would change,
   *   `upload_not_found` if the upload was erased, `conflict` if other processes keep changing it
   */
  return async function editUpload(
    found: Upload,
    change: Change,
    fixed: readonly string[] = [],
  ): Promise<Upload> {
    for (let attempt = 0; attempt < attempts; attempt++) {
      const stored = await edits.readStored(found)
      const current = withEdit(found, stored?.content)
      const next = apply(current, change)
      checkFixed(current, next, fixed)
      if (isDeepStrictEqual(next.intent, current.intent)) return recordEdit(found, stored?.content)
      checkMetadataLength(next.intent)
      const edit = { ...next.edit, revision: (stored?.content.revision ?? 0) + 1 }
      if (!(await edits.write(found, edit, stored))) continue
      if (!(await erasures.isMarked(found))) return recordEdit(found, edit)
      await finishErasure(found)
      throw new AppError('upload_not_found')
    }
    throw new AppError('conflict')
  }

  /** @returns the upload with the edit, or with a later one */
  async function recordEdit(found: Upload, edit: UploadEdit | undefined): Promise<Upload> {
    if (!edit) return found
    const change = (current: Upload) =>
      laterEdit(current.edit, edit) === current.edit ? undefined : withEdit(current, edit)
    const stored = await records.update(found, change).catch(undefinedIfUnreadable)
    // Without a record that can be changed, it is read from S3, which has the edit.
    const { upload } = stored ?? (await lookup.find(found)) ?? {}
    if (!upload) throw new AppError('upload_not_found')
    return upload
  }
}

export type EditUpload = ReturnType<typeof createEditUpload>

/** Returns an upload after a change. Its edit has no revision yet. */
function apply(current: Upload, { filename, metadata }: Change): Upload {
  const fields = Object.entries({ ...current.intent.metadata, ...metadata }).flatMap(([name, value]) =>
    value === null ? [] : [[name, value] as const],
  )
  return withEdit(current, {
    revision: 1,
    ...current.edit,
    ...(filename !== undefined && { filename }),
    ...(metadata && { metadata: Object.fromEntries(fields) }),
  })
}

/** @throws AppError `token_limit` if a fixed field would change */
function checkFixed(current: Upload, next: Upload, fixed: readonly string[]): void {
  const changed = fixed.filter((name) => current.intent.metadata?.[name] !== next.intent.metadata?.[name])
  if (changed.length === 0) return
  throw new AppError('token_limit', {
    message: `The token sets metadata that its bearer cannot change: ${changed.join(', ')}.`,
    fields: changed.map((name) => ({ field: `metadata.${name}`, message: 'is set by the token' })),
  })
}
