/**
 * Limits how many slots of a queue worker the jobs of one owner use at once. So the other slots stay free for other
 * owners, however slow these jobs are.
 *
 * @param limit slots for each owner
 */
export function createOwnerSlots(limit: number) {
  const usedBy = new Map<string, number>()
  return {
    /** Takes a slot. @returns a function to call once, when the job ends; undefined if the owner uses its share */
    take(owner: string): (() => void) | undefined {
      const used = usedBy.get(owner) ?? 0
      if (used >= limit) return undefined
      usedBy.set(owner, used + 1)
      return () => {
        const left = (usedBy.get(owner) ?? 1) - 1
        if (left > 0) usedBy.set(owner, left)
        else usedBy.delete(owner)
      }
    },
  }
}

export type OwnerSlots = ReturnType<typeof createOwnerSlots>
