import { hash } from 'node:crypto'
import type { ListedWithdrawal, Withdrawals } from '@millrace/shared/erasure/withdrawals.ts'
import type { Manifests } from '@millrace/shared/ledger/manifest.ts'
import { uploadVariantsPrefix, variantsPrefix } from '@millrace/shared/ledger/object-keys.ts'
import type { StoredVariants } from '@millrace/shared/ledger/stored-variants.ts'
import type { InvalidateCdn } from './invalidate-cdn.ts'

/** CloudFront works on this many paths with a wildcard at a time (CloudFront Developer Guide, "Quotas on invalidations"). */
const maxPaths = 15
/** From this many withdrawn uploads of one owner, one path covers all variants of the owner. The others are fetched again. */
const ownerPathFrom = 4
/** How many uploads are looked at at once. Each takes two requests to S3. */
const atOnce = 16
/**
 * How long a withdrawal waits for its manifest, in ms. It is written some milliseconds before the manifest; after this
 * time, the manifest was not written.
 */
const manifestWaitMs = 60_000

/**
 * Creates one pass over the withdrawals: it deletes from S3 what is left of withdrawn variants, then invalidates a CDN's
 * copies, and removes the withdrawals last. What cannot be finished yet stays for the next pass.
 *
 * @param deps.loadCdn loads what invalidates copies; undefined: there is no CDN
 */
export function createWithdrawVariants(deps: {
  withdrawals: Pick<Withdrawals, 'list' | 'read' | 'remove'>
  manifests: Pick<Manifests, 'read'>
  storedVariants: StoredVariants
  loadCdn: (() => Promise<Pick<InvalidateCdn, 'invalidate'>>) | undefined
}) {
  const { withdrawals, manifests, storedVariants, loadCdn } = deps

  /**
   * @param mayContinue is called before each batch; may throw to end the pass
   * @returns how many withdrawals were finished, and how many paths CloudFront was asked to invalidate
   */
  return async function withdrawVariants(
    mayContinue: () => Promise<void>,
  ): Promise<{ finished: number; paths: number }> {
    const listed = await withdrawals.list()
    const gone: ListedWithdrawal[] = []
    for (let start = 0; start < listed.length; start += atOnce) {
      await mayContinue()
      const batch = listed.slice(start, start + atOnce)
      const isGone = await Promise.all(batch.map(eraseLeftovers))
      gone.push(...batch.filter((_, i) => isGone[i]))
    }
    if (gone.length === 0) return { finished: 0, paths: 0 }
    const { paths, covered } = loadCdn ? pathsOf(gone) : { paths: [], covered: gone }
    if (loadCdn && !(await (await loadCdn()).invalidate(paths, referenceOf(covered)))) {
      return { finished: 0, paths: 0 }
    }
    for (let start = 0; start < covered.length; start += atOnce) {
      await Promise.all(covered.slice(start, start + atOnce).map(withdrawals.remove))
    }
    return { finished: covered.length, paths: paths.length }
  }

  /** @returns whether S3 has nothing of the withdrawn variants: CloudFront cannot fetch them again */
  async function eraseLeftovers(listed: ListedWithdrawal): Promise<boolean> {
    const withdrawal = await withdrawals.read(listed)
    if (!withdrawal) return false
    const { keys } = withdrawal
    // Whoever erases the upload deletes them. If that process died, the event of the erasure marker lets a worker finish.
    if (!keys) return !(await storedVariants.hasAny(listed))
    const withdrawn = new Set(keys)
    let isNamed = false
    await storedVariants.erase(listed, async () => {
      const manifest = await manifests.read(listed)
      const named = new Set(manifest?.variants.map(({ key }) => key))
      isNamed = keys.some((key) => named.has(key))
      return ({ key }) => withdrawn.has(key) && !named.has(key)
    })
    return !isNamed || listed.changedAtMs + manifestWaitMs < Date.now()
  }
}

export type WithdrawVariants = ReturnType<typeof createWithdrawVariants>

/** Returns the paths to invalidate, as many as CloudFront takes, and the withdrawals that they cover. */
export function pathsOf(gone: ListedWithdrawal[]): { paths: string[]; covered: ListedWithdrawal[] } {
  const paths: string[] = []
  const covered: ListedWithdrawal[] = []
  for (const [owner, uploads] of Map.groupBy(gone, (each) => each.owner)) {
    if (paths.length === maxPaths) break
    if (uploads.length >= ownerPathFrom) {
      paths.push(`/${variantsPrefix}${owner}/*`)
      covered.push(...uploads)
      continue
    }
    for (const upload of uploads.slice(0, maxPaths - paths.length)) {
      paths.push(`/${uploadVariantsPrefix(upload)}*`)
      covered.push(upload)
    }
  }
  return { paths, covered }
}

/** The same for the same withdrawals: a pass that is repeated after a crash is not billed again. */
function referenceOf(covered: ListedWithdrawal[]): string {
  return hash(
    'sha256',
    covered.map(({ owner, id, changedAtMs }) => `${owner}/${id} ${changedAtMs}`).join('\n'),
  )
}
