import { undefinedIfUnreadable } from '../connections/stored-json.ts'
import { hasExpired } from '../uploads/upload.ts'
import type { UploadAddress } from '../uploads/upload-address.ts'
import type { StoredUpload, UploadRecords } from '../uploads/upload-records.ts'
import type { CheckUpload } from './check-upload.ts'

/**
 * Finds uploads. A record that was checked in the current epoch of Redis is returned as it is. All others are checked
 * against S3 first, so a Redis that lost its data is refilled by lookups.
 */
export function createUploadLookup(deps: { records: UploadRecords; checkUpload: CheckUpload }) {
  const { records, checkUpload } = deps

  return {
    /**
     * @returns the upload, or undefined if it does not exist or was erased. The revision is `unknownRevision` if this
     *   version cannot read the record
     * @throws AppError `unreadable_record` if this version cannot read the manifest, or cannot read the record and S3 has
     *   nothing of the upload
     */
    async find(address: UploadAddress): Promise<StoredUpload | undefined> {
      const found = await records.find(address).catch(undefinedIfUnreadable)
      return found?.isChecked && !hasExpired(found.upload, Date.now()) ? found : checkUpload(address)
    },
  }
}

export type UploadLookup = ReturnType<typeof createUploadLookup>
