import { isFinished, type Upload } from './upload.ts'

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

/** Expiry of finished records with enough memory, and of those that only Redis has. In ms. */
const finishedLifeMs = 7 * dayMs
const shortFinishedLifeMs = hourMs
/** Expiry of the records of unfinished uploads: longer than any upload may stay open. In ms. */
export const openLifeMs = 14 * dayMs

/**
 * Whether a record can be rebuilt from S3: its upload has a manifest. An import that got no bytes has none.
 */
export function isRebuildable(upload: Upload): boolean {
  return isFinished(upload) && upload.arrival !== undefined
}

/**
 * Returns how long a record stays in Redis after it is written, in ms.
 *
 * @param usedShare returns the used share of Redis' memory limit; called only if it matters
 */
export async function recordLifeMs(upload: Upload, usedShare: () => Promise<number>): Promise<number> {
  if (!isFinished(upload)) return openLifeMs
  if (!isRebuildable(upload)) return finishedLifeMs
  const share = await usedShare()
  if (share >= memoryBudget.shortestLife) return minFinishedLifeMs
  return share >= memoryBudget.shortLife ? shortFinishedLifeMs : finishedLifeMs
}
