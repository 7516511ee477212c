import { isUnreadable } from '@millrace/shared/connections/stored-json.ts'
import type { EraseUpload, ErasureReceipt } from '@millrace/shared/lifecycle/erase-upload.ts'
import type { IsErased } from '@millrace/shared/lifecycle/is-erased.ts'
import type { UploadLookup } from '@millrace/shared/lifecycle/upload-lookup.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import { isUploadId } from '@millrace/shared/uploads/upload-id.ts'

/** Erases uploads that exist. */
export function createEraseOwnUpload(deps: {
  lookup: UploadLookup
  isErased: IsErased
  eraseUpload: EraseUpload
}) {
  const { lookup, isErased, eraseUpload } = deps

  /**
   * @param owner who sent the request; undefined: nobody, who has no uploads
   * @throws AppError `upload_not_found`, also if the upload belongs to another owner
   */
  return async function eraseOwnUpload(owner: string | undefined, id: string): Promise<ErasureReceipt> {
    if (owner === undefined || !isUploadId(id)) throw new AppError('upload_not_found')
    const address = { owner, id }
    // An erased upload may be erased again, to finish an interrupted erasure or to get a receipt.
    const exists = (await isFound(address)) || (await isErased(address))
    if (!exists) throw new AppError('upload_not_found')
    return eraseUpload(address)
  }

  /** Whether the upload exists, also in a form that only another version can read. */
  async function isFound(address: UploadAddress): Promise<boolean> {
    try {
      return (await lookup.find(address)) !== undefined
    } catch (error) {
      if (isUnreadable(error)) return true
      throw error
    }
  }
}

export type EraseOwnUpload = ReturnType<typeof createEraseOwnUpload>
