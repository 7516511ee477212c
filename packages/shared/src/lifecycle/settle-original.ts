import { discardedVersions, type Manifests } from '../ledger/manifest.ts'
import type { OriginalVersion, OriginalVersions } from '../ledger/original-versions.ts'
import type { Original, Originals } from '../ledger/originals.ts'
import type { Quota } from '../quotas/quota.ts'
import { AppError } from '../service/app-error.ts'
import type { Arrival } from '../uploads/upload.ts'
import type { UploadAddress } from '../uploads/upload-address.ts'
import { maxSendings, quotaHolder } from './further-versions.ts'

/**
 * How long a replaced version counts against the quota, in ms. The bucket's lifecycle rule deletes it one to two days after
 * it was replaced: after a full day, with the rules of the next one.
 */
const replacedLifeMs = 2 * 24 * 60 * 60 * 1000
/**
 * Up to so many versions of an unfinished upload are left as they are. A client whose responses get lost sends a file a few
 * times. Somebody who sends it more often shall not fill the bucket until a worker has finished it.
 */
const maxUnfinishedVersions = 8

/**
 * Decides which version of an original is the upload's, if a client sent its file several times, and deletes the versions
 * that are not needed.
 *
 * A signed form can be sent again until it expires. Each time S3 stores a version and sends an event. Otherwise twenty
 * sendings would be twenty versions outside of the quota and twenty jobs.
 *
 *   - identical bytes: one version is kept, once the upload is finished
 *   - other bytes: they replace the earlier ones, up to `maxSendings`, and count against the quota until the lifecycle rule
 *     has deleted what they replaced. A version above the limit or the quota is deleted, and the earlier one stays
 *
 * The version that the record or the manifest names is kept: it may be served, and signed URLs name it. Without one, the
 * newest version is kept.
 *
 * Of identical bytes, none is deleted before the manifest names the version that is kept. If Redis lost the record in
 * between, two workers would decide differently, and each would delete the other's version. The event of each version is
 * held until the manifest exists, and decides again then (`held-arrivals.ts`).
 */
export function createSettleOriginal(deps: {
  originals: Pick<Originals, 'find'>
  originalVersions: Pick<OriginalVersions, 'list' | 'haveSameBytes' | 'delete'>
  manifests: Pick<Manifests, 'read'>
  quota: Pick<Quota, 'reserve'>
}) {
  const { originals, originalVersions, manifests, quota } = deps
  const { haveSameBytes } = originalVersions

  /**
   * @param original what S3 has
   * @param options.known the arrival that the record or the manifest names
   * @param options.versionId the version of an event
   * @returns the version that is the upload's. It is read again only if it is not `original`
   */
  return async function settleOriginal(
    address: UploadAddress,
    original: Original | undefined,
    { known, versionId }: { known?: Arrival | undefined; versionId?: string | undefined },
  ): Promise<Original | undefined> {
    const current = original?.arrival.versionId
    if (!original || current === undefined) return original
    const isOnly = current === (known?.versionId ?? current) && current === (versionId ?? current)
    if (isOnly) return original
    const { kept, surplus } = await decide(address, { known, isCopy: original.isCopy })
    for (const version of surplus) await originalVersions.delete(address, version.versionId)
    if (!kept || kept.versionId === current) return kept && original
    // By its version: a newer one may have arrived since. Its own event decides about it.
    return originals.find(address, kept.versionId)
  }

  /** @returns the version that is the upload's, unless none is, and those to delete */
  async function decide(
    address: UploadAddress,
    { known, isCopy }: { known: Arrival | undefined; isCopy: boolean },
  ): Promise<{ kept: OriginalVersion | undefined; surplus: OriginalVersion[] }> {
    const [versions, manifest] = await Promise.all([originalVersions.list(address), manifests.read(address)])
    const named = [known?.versionId, manifest?.arrival.versionId]
    const namedVersion = versions.findLast(({ versionId }) => named.includes(versionId))
    const preferred = namedVersion ?? versions.at(-1)
    const rejected = manifest ? discardedVersions(manifest) : []
    const kept: OriginalVersion[] = []
    const surplus: OriginalVersion[] = []
    const identical: OriginalVersion[] = []

    for (const version of versions) {
      const before = kept.at(-1)
      const isPreferred = version === preferred
      // Each rejected version was a job.
      const isFull = rejected.length + kept.length >= maxSendings
      if (rejected.includes(version.versionId)) {
        surplus.push(version)
      } else if (before && (isPreferred || !isFull) && (await haveSameBytes(address, version, before))) {
        identical.push(isPreferred ? before : version)
        if (isPreferred) kept[kept.length - 1] = version
      } else if (
        !isFull &&
        (isCopy || (await reserve(address, kept.length, rejected.length, version.size)))
      ) {
        kept.push(version)
      } else if (isPreferred && (namedVersion || rejected.length === 0)) {
        // The bytes that it replaced are not needed any more.
        if (before) surplus.push(before)
        kept[Math.max(0, kept.length - 1)] = version
      } else {
        surplus.push(version)
      }
    }
    const last = kept.at(-1)
    const isFinished = manifest !== undefined && manifest.arrival.versionId === last?.versionId
    const deletesIdentical = isFinished || versions.length > maxUnfinishedVersions
    return { kept: last, surplus: deletesIdentical ? [...surplus, ...identical] : surplus }
  }

  /**
   * Reserves quota for a version. The first one has the reservation of its upload, unless that was released with bytes that
   * were rejected. Only the region of the upload counts it.
   *
   * @param position among the versions that are kept
   * @param rejectedCount the number of versions that were rejected and deleted
   * @returns false if it does not fit
   */
  async function reserve(
    address: UploadAddress,
    position: number,
    rejectedCount: number,
    size: number,
  ): Promise<boolean> {
    if (position === 0 && rejectedCount === 0) return true
    try {
      await quota.reserve(quotaHolder(address, position), size, Date.now() + replacedLifeMs)
      return true
    } catch (error) {
      const isRefused =
        error instanceof AppError &&
        (error.code === 'quota_exceeded' || error.code === 'quota_exhausted_today')
      if (isRefused) return false
      throw error
    }
  }
}

export type SettleOriginal = ReturnType<typeof createSettleOriginal>
