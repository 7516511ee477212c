import type { UploadAddress } from '../uploads/upload-address.ts'
import { furtherVersionId } from '../uploads/upload-id.ts'

/**
 * Limit of different bytes that a client may send for one upload. The first file and two corrections: more of them are
 * only work for workers.
 */
export const maxSendings = 3

/**
 * Returns under which address a version of an original has its quota.
 * @param position of the version among those that are kept: 0 for the first one, which has that of its upload
 */
export function quotaHolder(address: UploadAddress, position: number): UploadAddress {
  return position === 0 ? address : { owner: address.owner, id: furtherVersionId(address.id, position) }
}

/** Returns all addresses under which versions of an upload's original may have quota. */
export function quotaHolders(address: UploadAddress): UploadAddress[] {
  return Array.from({ length: maxSendings }, (_, position) => quotaHolder(address, position))
}
