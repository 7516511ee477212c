import { paginateListObjectsV2, type S3Client } from '@aws-sdk/client-s3'
import { originalsPrefix, parseOriginalKey } from '../ledger/object-keys.ts'
import type { Originals } from '../ledger/originals.ts'
import { arrivalGraceMs } from '../uploads/upload.ts'
import type { UploadAddress } from '../uploads/upload-address.ts'
import { uploadIdTimeMs } from '../uploads/upload-id.ts'
import type { UploadRecords } from '../uploads/upload-records.ts'
import type { AddressQuota } from './address-quota.ts'
import { quotaError } from './quota-error.ts'
import type { QuotaLimits, QuotaReservations } from './quota-reservations.ts'

/** How many overdue reservations are checked at once. */
const overdueBatch = 64

/**
 * Enforces the owners' quotas (decision 0007). Originals count, variants do not. Quota is reserved when a file is
 * announced, and released when the file is rejected, erased, or never arrives.
 *
 * @param deps.limits limits of each owner; without any, nothing is counted
 * @param deps.addressQuota the quota of the clients' addresses, which counts the same uploads
 */
export function createQuota(deps: {
  reservations: QuotaReservations
  limits: QuotaLimits
  addressQuota: AddressQuota
  records: Pick<UploadRecords, 'networksOf'>
  originals: Originals
  s3: S3Client
  bucket: string
}) {
  const { reservations, limits, addressQuota, records, originals, s3, bucket } = deps
  const isLimited = Object.values(limits).some((limit) => limit !== undefined)

  /** Checks overdue reservations against S3: confirms them with the real size, or releases them. */
  async function checkOverdue(owner: string): Promise<number> {
    const overdue = await reservations.overdue(owner, Date.now(), overdueBatch)
    await Promise.all(
      overdue.map(async (id) => {
        const original = await originals.find({ owner, id })
        if (original) await reservations.confirm({ owner, id }, original.arrival.size)
        else await reservations.release({ owner, id })
      }),
    )
    return overdue.length
  }

  /** Computes the owner's totals in Redis from S3's listing. */
  async function recount(owner: string): Promise<void> {
    // Read before the listing, so that files that arrive meanwhile are not released.
    const counted = await reservations.arrived(owner)
    const uploads: { id: string; bytes: number }[] = []
    const pages = paginateListObjectsV2(
      { client: s3 },
      { Bucket: bucket, Prefix: `${originalsPrefix}${owner}/` },
    )
    for await (const page of pages) {
      for (const { Key = '', Size = 0 } of page.Contents ?? []) {
        const address = parseOriginalKey(Key)
        if (address) uploads.push({ id: address.id, bytes: Size })
      }
    }
    const found = new Set(uploads.map(({ id }) => id))
    for (const id of counted) if (!found.has(id)) await reservations.release({ owner, id })
    await reservations.adopt(owner, uploads, Date.now())
  }

  async function reserve(address: UploadAddress, bytes: number, expiresAtMs: number): Promise<void> {
    if (!isLimited) return
    for (;;) {
      const checked = await checkOverdue(address.owner)
      const reservation = await reservations.reserve(address, bytes, expiresAtMs + arrivalGraceMs, limits)
      if (reservation.outcome === 'reserved') return
      if (reservation.outcome === 'unknown') await recount(address.owner)
      else if (checked < overdueBatch) throw quotaError(reservation, bytes)
    }
  }

  return {
    /**
     * Reserves the owner's quota for an upload. A second call for the same upload changes the reservation's size.
     *
     * @param bytes the upload's size
     * @param expiresAtMs when the file should have arrived, ms since 1970
     * @throws AppError `quota_exceeded` if it does not fit, `quota_exhausted_today` if it may fit tomorrow
     */
    reserve,

    /**
     * Changes the size of an admitted upload, before its bytes are committed, in the quotas of its owner and of the address
     * that announced it.
     *
     * @param size.from what was reserved so far, in bytes. An unknown size is 0
     * @param expiresAtMs when the file should have arrived, ms since 1970
     * @throws AppError as `reserve` does
     */
    async resize(
      address: UploadAddress,
      { from, to }: { from: number; to: number },
      expiresAtMs: number,
    ): Promise<void> {
      await reserve(address, to, expiresAtMs)
      if (from === to || !addressQuota.isLimited) return
      const use = { bytes: to - from, files: 0 }
      await addressQuota.reserve(await records.networksOf(address), use, uploadIdTimeMs(address.id))
    },

    /**
     * Extends the reservation of an upload whose file has not arrived yet. Does nothing if there is none.
     * @param expiresAtMs when the file should have arrived, ms since 1970
     */
    async extend(address: UploadAddress, expiresAtMs: number): Promise<void> {
      if (isLimited) await reservations.extend(address, expiresAtMs + arrivalGraceMs)
    },

    /** Releases the quota of an upload that no longer exists. */
    async release(address: UploadAddress): Promise<void> {
      if (isLimited) await reservations.release(address)
    },

    /** Undoes the reservation of an announcement that failed; it does not count for the day either. */
    async cancel(address: UploadAddress): Promise<void> {
      if (isLimited) await reservations.release(address, { ofToday: true })
    },
  }
}

export type Quota = ReturnType<typeof createQuota>
