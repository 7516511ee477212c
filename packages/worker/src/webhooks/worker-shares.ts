/** A webhook whose requests take this long counts as slow, in ms. */
const slowMs = 2_000

/**
 * Shares out the webhook slots of a worker, so that a third is always free for receivers that respond promptly. Slow webhooks
 * together use at most three eighths of the slots, new ones a quarter. A tenant uses at most half of all slots, and an eighth
 * each for its slow and its new webhooks.
 *
 * @param slots webhook slots of this worker
 */
export function createWorkerShares(slots: number) {
  const partOf = (share: number) => Math.max(1, Math.floor(slots * share))
  const used = new Map<string, number>()

  function sharesOf(tenantKey: string, meanMs: number | undefined): [name: string, limit: number][] {
    const all: [string, number] = [tenantKey, partOf(1 / 2)]
    if (meanMs === undefined) return [all, ['new', partOf(1 / 4)], [`new ${tenantKey}`, partOf(1 / 8)]]
    if (meanMs >= slowMs) return [all, ['slow', partOf(3 / 8)], [`slow ${tenantKey}`, partOf(1 / 8)]]
    return [all]
  }

  return {
    /**
     * Takes a slot for a request.
     * @param meanMs mean duration of the webhook's requests; undefined if none was sent yet
     * @returns a function to call once, when the request ends; undefined if the share is used up
     */
    take(tenantKey: string, meanMs: number | undefined): (() => void) | undefined {
      const shares = sharesOf(tenantKey, meanMs)
      if (shares.some(([name, limit]) => usedOf(name) >= limit)) return undefined
      for (const [name] of shares) used.set(name, usedOf(name) + 1)
      return () => {
        for (const [name] of shares) {
          const left = usedOf(name) - 1
          if (left > 0) used.set(name, left)
          else used.delete(name)
        }
      }
    },
  }

  function usedOf(name: string): number {
    return used.get(name) ?? 0
  }
}

export type WorkerShares = ReturnType<typeof createWorkerShares>
