import { paginateListObjectsV2, type S3Client } from '@aws-sdk/client-s3'
import { originalsPrefix, parseOriginalKey } from '../ledger/object-keys.ts'
import type { Originals } from '../ledger/originals.ts'
import { AppError } from '../service/app-error.ts'
import type { UploadAddress } from '../uploads/upload-address.ts'
import type { QuotaLimit, QuotaLimits, QuotaReservations } from './quota-reservations.ts'

/** An upload that was begun in time may still come this long after it expired, in ms. */
const graceMs = 60 * 60 * 1000
/** How many announced uploads are looked for at once when they should have come. */
const dueAtOnce = 64
const dayMs = 24 * 60 * 60 * 1000

/** What each limit is of, as people say it. */
const described = {
  bytesTotal: 'bytes in all',
  filesTotal: 'files in all',
  bytesPerDay: 'bytes a day',
  filesPerDay: 'files a day',
} satisfies Record<QuotaLimit, string>

/**
 * Holds owners to their quotas. Originals count, variants do not. Room is taken when a file is announced, and
 * given back when it is rejected, erased, or never comes.
 *
 * @param deps.limits of each owner; where there are none, nothing is counted
 */
export function createQuota(deps: {
  ledger: QuotaReservations
  limits: QuotaLimits
  originals: Originals
  s3: S3Client
  bucket: string
}) {
  const { ledger, limits, originals, s3, bucket } = deps
  const isLimited = Object.values(limits).some((limit) => limit !== undefined)

  /** Announced uploads that should have come by now are looked for in S3, and count for what they are. */
  async function settleDue(owner: string): Promise<number> {
    const due = await ledger.due(owner, Date.now(), dueAtOnce)
    await Promise.all(
      due.map(async (id) => {
        const original = await originals.find({ owner, id })
        if (original) await ledger.confirm({ owner, id }, original.arrival.size)
        else await ledger.release({ owner, id })
      }),
    )
    return due.length
  }

  /** Makes what Redis counts agree with what S3 has. */
  async function recount(owner: string): Promise<void> {
    // Before the listing: what came since is not in it, and is not to be given back.
    const known = await ledger.arrived(owner)
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
    for (const id of known) if (!found.has(id)) await ledger.release({ owner, id })
    await ledger.adopt(owner, uploads, Date.now())
  }

  return {
    /**
     * Takes room for an upload. Called again for the same upload it changes the room to another size.
     *
     * @param bytes that it will have
     * @param expiresAtMs when it should have come, ms since 1970
     * @throws AppError `quota_exceeded` where it does not fit, `quota_exhausted_today` where it may tomorrow
     */
    async reserve(address: UploadAddress, bytes: number, expiresAtMs: number): Promise<void> {
      if (!isLimited) return
      for (;;) {
        const settled = await settleDue(address.owner)
        const reservation = await ledger.reserve(address, bytes, expiresAtMs + graceMs, limits)
        if (reservation.outcome === 'reserved') return
        if (reservation.outcome === 'unknown') await recount(address.owner)
        else if (settled < dueAtOnce) throw refusal(reservation, bytes)
      }
    },

    /** Gives the room of an upload back that is no longer there. */
    async release(address: UploadAddress): Promise<void> {
      if (isLimited) await ledger.release(address)
    },

    /** Undoes the reservation of an upload that did not come to be. */
    async cancel(address: UploadAddress): Promise<void> {
      if (isLimited) await ledger.release(address, { ofToday: true })
    },
  }
}

export type Quota = ReturnType<typeof createQuota>

function refusal(
  { by, limit, remaining }: { by: QuotaLimit; limit: number; remaining: number },
  bytes: number,
): AppError {
  const told = { limit, remaining }
  const message = `The quota is ${limit} ${described[by]}; ${remaining} are left.`
  const fitsNoDay = by === 'bytesPerDay' ? bytes > limit : limit === 0
  if (by === 'bytesTotal' || by === 'filesTotal' || fitsNoDay) {
    return new AppError('quota_exceeded', { message, ...told })
  }
  const retryAfterSeconds = Math.ceil((dayMs - (Date.now() % dayMs)) / 1000)
  return new AppError('quota_exhausted_today', { message, ...told, retryAfterSeconds })
}
