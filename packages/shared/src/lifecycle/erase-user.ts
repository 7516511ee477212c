import type { ListOwnerContents } from '../ledger/list-owner-contents.ts'
import { AppError } from '../service/app-error.ts'
import type { TenantUsers } from '../tenants/tenant-users.ts'
import type { UserErasure, UserErasures } from '../tenants/user-erasures.ts'
import type { UploadAddress } from '../uploads/upload-address.ts'
import { largestUploadId } from '../uploads/upload-id.ts'
import type { UploadIndex } from '../uploads/upload-index.ts'

/** How many uploads are erased at once. Each takes some ten requests to S3. */
const erasedAtOnce = 8
/** How many uploads are listed before `mayContinue` is asked again: a second of work. */
const listedAtOnce = 1000
/** A user that uploads while it is erased makes further rounds necessary. More are a fault, or the erasure is of no use. */
const maxRounds = 20

/**
 * Erases users of tenants with all of their uploads. An interrupted erasure is continued by calling it again: what is left is
 * listed anew. The counts are written before what they count is erased, so they survive an interruption as well.
 *
 * @param deps.eraseUpload erases one upload
 * @param deps.onErased is called when the user's entry was erased, before it is checked that nothing came meanwhile
 */
export function createEraseUser(deps: {
  listOwnerContents: ListOwnerContents
  index: Pick<UploadIndex, 'between'>
  eraseUpload: (address: UploadAddress) => Promise<unknown>
  users: Pick<TenantUsers, 'erase'>
  userErasures: Pick<UserErasures, 'save' | 'finish'>
  onErased: (owner: string) => Promise<void>
}) {
  const { listOwnerContents, index, eraseUpload, users, userErasures, onErased } = deps

  /**
   * @param begun the erasure, which is recorded as running
   * @param mayContinue is asked before each batch of uploads, also while they are counted; may throw to interrupt the erasure
   * @returns the finished erasure, whose receipt is written
   * @throws AppError `conflict` if the user keeps uploading
   */
  return async function eraseUser(
    begun: UserErasure,
    mayContinue: () => Promise<void>,
  ): Promise<UserErasure> {
    const { owner } = begun
    let erasure = begun
    let isEntryErased = false
    for (let round = 0; round < maxRounds; round++) {
      const counted = await count(erasure, mayContinue)
      const isEmpty = !counted.hasUploads && !(await eraseAnnounced(owner, mayContinue))
      if (isEmpty && isEntryErased) {
        const finished = { ...erasure, finishedAt: new Date().toISOString() }
        await userErasures.finish(finished)
        return finished
      }
      if (counted.hasUploads) {
        if (counted.erasure.countedUpTo !== erasure.countedUpTo) await userErasures.save(counted.erasure)
        erasure = counted.erasure
        await eraseAll(owner, listOwnerContents(owner), mayContinue)
      }
      // Whatever is recorded of the user after this belongs to uploads that the next round finds.
      if (isEmpty) {
        await users.erase(owner)
        await onErased(owner)
      }
      isEntryErased = isEmpty
    }
    throw new AppError('conflict', { message: 'The user keeps uploading, so its erasure does not end.' })
  }

  /** Adds what came since the last count. */
  async function count(
    erasure: UserErasure,
    mayContinue: () => Promise<void>,
  ): Promise<{ erasure: UserErasure; hasUploads: boolean }> {
    const sum = { ...erasure }
    let listed = 0
    for await (const { id, versions, bytes } of listOwnerContents(erasure.owner)) {
      listed += 1
      if (listed % listedAtOnce === 0) await mayContinue()
      // Ids rise with time, and so does the listing.
      if (id <= sum.countedUpTo) continue
      sum.uploads += 1
      sum.versions += versions
      sum.bytes += bytes
      sum.countedUpTo = id
    }
    return { erasure: sum, hasUploads: listed > 0 }
  }

  async function eraseAll(
    owner: string,
    uploads: AsyncIterable<{ id: string }> | Iterable<{ id: string }>,
    mayContinue: () => Promise<void>,
  ): Promise<void> {
    let batch: UploadAddress[] = []
    const eraseBatch = async () => {
      await mayContinue()
      await Promise.all(batch.map(eraseUpload))
      batch = []
    }
    for await (const { id } of uploads) {
      batch.push({ owner, id })
      if (batch.length === erasedAtOnce) await eraseBatch()
    }
    if (batch.length > 0) await eraseBatch()
  }

  /** Erases uploads that were announced and of which S3 has nothing. @returns whether there were any */
  async function eraseAnnounced(owner: string, mayContinue: () => Promise<void>): Promise<boolean> {
    const ids = await index.between(owner, { before: largestUploadId, from: '' })
    await eraseAll(
      owner,
      ids.map((id) => ({ id })),
      mayContinue,
    )
    return ids.length > 0
  }
}

export type EraseUser = ReturnType<typeof createEraseUser>
