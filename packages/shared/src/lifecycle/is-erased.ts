import { undefinedIfUnreadable } from '../connections/stored-json.ts'
import type { Erasures } from '../erasure/erasures.ts'
import type { UploadAddress } from '../uploads/upload-address.ts'
import type { UploadRecords } from '../uploads/upload-records.ts'

/** Returns the function that tells whether an upload was erased. It reads S3 only if Redis may have lost the erasure. */
export function createIsErased(deps: { records: UploadRecords; erasures: Erasures }) {
  const { records, erasures } = deps

  return async function isErased(address: UploadAddress): Promise<boolean> {
    if (await records.isErased(address)) return true
    const found = await records.find(address).catch(undefinedIfUnreadable)
    return found?.isChecked ? false : erasures.isMarked(address)
  }
}

export type IsErased = ReturnType<typeof createIsErased>
