import { ListObjectsV2Command, type S3Client } from '@aws-sdk/client-s3'
import { manifestsPrefix, originalsPrefix } from '@millrace/shared/ledger/object-keys.ts'
import type { ListedIds } from '@millrace/shared/uploads/listed-ids.ts'
import type { CompareIndex } from './compare-index.ts'
import type { SweepRun, SweepStage } from './sweep-run.ts'

/**
 * Owners that are compared at a time: some 10 MB of memory. Each batch takes at most one LIST per thousand owners that
 * have objects.
 */
const ownersPerBatch = 100_000

/**
 * Compares the indexes of owners without any object: the listing of objects never comes to them. It begins anew when a run
 * is continued, since the cursor of SCAN is only valid on the same server.
 */
export function createSweepOwners(deps: {
  s3: S3Client
  bucket: string
  listedIds: Pick<ListedIds, 'owners'>
  compareIndex: CompareIndex
  run: SweepRun
}): SweepStage {
  const { s3, bucket, listedIds, compareIndex, run } = deps

  return async function* sweepOwners() {
    let batch = new Set<string>()
    for await (const owner of listedIds.owners(run.nextPage)) {
      batch.add(owner)
      if (batch.size < ownersPerBatch) continue
      yield* compareOwners(batch)
      batch = new Set()
    }
    yield* compareOwners(batch)
  }

  async function* compareOwners(owners: ReadonlySet<string>): AsyncGenerator<string> {
    const withoutOriginals = await withoutObjects(originalsPrefix, [...owners])
    const withoutAny = await withoutObjects(manifestsPrefix, withoutOriginals)
    await compareIndex(withoutAny.map((owner) => ({ owner, inS3: new Set<string>() })))
    yield ''
  }

  /** Returns the owners that have no object under a prefix. Each page shows it of all owners up to its end. */
  async function withoutObjects(prefix: string, owners: string[]): Promise<string[]> {
    // In the order of their prefixes, not of their names: S3 compares the slash too.
    let rest = owners.map((owner) => `${prefix}${owner}/`).toSorted(byBytes)
    const without: string[] = []
    let token: string | undefined
    while (rest[0] !== undefined) {
      await run.nextPage()
      const page = await s3.send(
        new ListObjectsV2Command({
          Bucket: bucket,
          Prefix: prefix,
          Delimiter: '/',
          ...(token === undefined ? { StartAfter: rest[0].slice(0, -1) } : { ContinuationToken: token }),
        }),
      )
      const present = new Set((page.CommonPrefixes ?? []).map(({ Prefix = '' }) => Prefix))
      const last = page.IsTruncated ? ([...present].at(-1) ?? '') : undefined
      const known = rest.filter((owner) => last === undefined || owner <= last)
      without.push(...known.filter((owner) => !present.has(owner)))
      rest = rest.slice(known.length)
      // Prefixes such as a-1/ are listed before a/. If there are more than a page of them, the next page continues.
      token = known.length === 0 ? page.NextContinuationToken : undefined
    }
    return without.map((owner) => owner.slice(prefix.length, -1))
  }
}

/** The order of S3. Owners are ASCII. */
function byBytes(one: string, other: string): number {
  if (one === other) return 0
  return one < other ? -1 : 1
}
