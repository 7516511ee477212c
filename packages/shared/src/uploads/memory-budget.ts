import { arrivalGraceMs, isFinished, type Upload } from './upload.ts'

const minuteMs = 60 * 1000
const hourMs = 60 * minuteMs
const dayMs = 24 * hourMs

/**
 * The used shares of Redis' memory limit at which records give way to work. Records of finished uploads can be rebuilt
 * from S3 at any time; jobs and open uploads cannot.
 *
 *   below `shortLife`          records stay for days
 *   from `shortLife`           new finished records stay for an hour: long enough for clients that wait for the result
 *   above `trimAbove`          a worker deletes old finished records until `trimTo` is reached
 *   from `shortestLife`        new finished records stay for a minute: trimming does not keep up
 *   from `refuseUploads`       no uploads are admitted. A quarter of the memory is left for those under way
 *
 * 5 % of 5 GB are the records of three minutes with 1,000 uploads a second, 1.5 KB each.
 */
export const memoryBudget = {
  shortLife: 0.5,
  trimTo: 0.55,
  trimAbove: 0.6,
  shortestLife: 0.65,
  refuseUploads: 0.75,
} as const

/** How long a finished record stays at least, whatever the memory: clients still read the result. In ms. */
export const minFinishedLifeMs = minuteMs

/** Expiry of finished records with enough memory, in ms. */
const finishedLifeMs = 7 * dayMs
const shortFinishedLifeMs = hourMs
/** Expiry of the records of imports that ended without bytes, in ms. Only Redis has them. */
const endedLifeMs = dayMs
/** Expiry of the records of uploads that arrived and are not finished, in ms. */
export const openLifeMs = 14 * dayMs
/** Expiry of what an owner with files has besides its records, in ms: with enough memory, longer than its finished records. */
const ownerKeysLifeMs = 10 * dayMs
const shortOwnerKeysLifeMs = dayMs

/**
 * Whether a record can be rebuilt from S3: its upload has a manifest. An import that got no bytes has none.
 */
export function isRebuildable(upload: Upload): boolean {
  return isFinished(upload) && upload.arrival !== undefined
}

/** How long keys stay in Redis after the record of an upload is written, in ms. */
export type KeyLives = {
  record: number
  /** The owner's index and its last changes. They live as long as the longest of these. */
  ownerKeys: number
}

/**
 * Returns how long keys stay in Redis after a record is written. An upload whose bytes have not arrived leaves nothing once
 * they cannot arrive any more: anybody can announce uploads.
 *
 * @param usedShare returns the used share of Redis' memory limit; called only if it matters
 * @param nowMs ms since 1970
 */
export async function keyLives(
  upload: Upload,
  usedShare: () => Promise<number>,
  nowMs: number,
): Promise<KeyLives> {
  if (upload.state === 'awaiting' || !upload.arrival) {
    const record = upload.state === 'awaiting' ? awaitingLifeMs(upload, nowMs) : endedLifeMs
    return { record, ownerKeys: Math.max(record, hourMs) }
  }
  const share = await usedShare()
  return {
    record: isFinished(upload) ? finishedLife(share) : openLifeMs,
    ownerKeys: share >= memoryBudget.shortLife ? shortOwnerKeysLifeMs : ownerKeysLifeMs,
  }
}

/** Older versions of Millrace announced uploads without an expiry. */
function awaitingLifeMs({ expiresAt }: Upload, nowMs: number): number {
  if (expiresAt === undefined) return openLifeMs
  return Math.max(Date.parse(expiresAt) + arrivalGraceMs - nowMs, minFinishedLifeMs)
}

/** @param share the used share of Redis' memory limit */
function finishedLife(share: number): number {
  if (share >= memoryBudget.shortestLife) return minFinishedLifeMs
  return share >= memoryBudget.shortLife ? shortFinishedLifeMs : finishedLifeMs
}
