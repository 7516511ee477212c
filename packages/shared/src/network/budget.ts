import { AppError, type ErrorCode } from '../service/app-error.ts'
import { clientNetworks } from './client-networks.ts'

/** Limits of a budget, in its own unit. 0: no limit. */
export type BudgetLimits = { instance: number; owner: number; address: number }

/**
 * Who uses a share of a budget. A request with an API key has no `address`: its client may be a server that sends files
 * for many people, and its owner is known.
 */
export type BudgetHolder = { owner?: string | undefined; address?: string | undefined }

/** A share of a budget. Call `release` once it is not used any more; further calls do nothing. */
export type BudgetShare = {
  release(): void
}

/** When a client may try again, in seconds. A share is usually free after seconds. */
const retryAfterSeconds = 5

/**
 * Creates a budget of this process: what clients use of a resource at the same time, in total, for each owner and for each
 * address. It is in memory, because the resource is: bytes in buffers, connections, streams.
 *
 * @param options.unit what is counted, in the plural, for messages: `event streams`
 * @param options.code the error of an owner or an address above its limit
 */
export function createBudget(options: { unit: string; code: ErrorCode; limits: BudgetLimits }) {
  const { unit, code, limits } = options
  const usedBy = new Map<string, number>()
  let used = 0

  function check(keys: { key: string; limit: number }[], amount: number): void {
    const short = shortOf(keys, amount)
    if (short) {
      const { key, limit, remaining } = short
      const who = key.startsWith('owner:') ? 'owner' : 'address'
      throw new AppError(code, {
        message: `The limit is ${limit} ${unit} at once for one ${who}; ${remaining} are left.`,
        limit,
        remaining,
        retryAfterSeconds,
      })
    }
    if (fitsInstance(amount)) return
    throw new AppError('overloaded', {
      message: `This instance has no room for more ${unit}.`,
      limit: limits.instance,
      remaining: Math.max(0, limits.instance - used),
      retryAfterSeconds,
    })
  }

  /** Returns the first limit of an owner or an address that has less than `amount` left. */
  function shortOf(keys: { key: string; limit: number }[], amount: number) {
    for (const { key, limit } of keys) {
      const remaining = Math.max(0, limit - (usedBy.get(key) ?? 0))
      if (amount > remaining) return { key, limit, remaining }
    }
    return undefined
  }

  function fitsInstance(amount: number): boolean {
    return limits.instance === 0 || used + amount <= limits.instance
  }

  function add(keys: { key: string }[], amount: number): void {
    used += amount
    for (const { key } of keys) {
      const now = (usedBy.get(key) ?? 0) + amount
      if (now > 0) usedBy.set(key, now)
      else usedBy.delete(key)
    }
  }

  return {
    /**
     * Takes a share.
     *
     * @throws AppError `options.code` if the owner or the address has no room left, `overloaded` if the instance has none
     */
    take(holder: BudgetHolder, amount = 1): BudgetShare {
      const keys = keysOf(holder, limits)
      check(keys, amount)
      add(keys, amount)
      let isReleased = false
      return {
        release() {
          if (isReleased) return
          isReleased = true
          add(keys, -amount)
        },
      }
    },

    /**
     * Returns why `take` would refuse: a limit of the `holder`, or that of the `instance`. Undefined: it would not. It costs
     * much less than an error.
     */
    shortage(holder: BudgetHolder, amount = 1): 'holder' | 'instance' | undefined {
      if (shortOf(keysOf(holder, limits), amount)) return 'holder'
      return fitsInstance(amount) ? undefined : 'instance'
    },

    /** Returns what is used at the moment. */
    used(): number {
      return used
    },
  }
}

export type Budget = ReturnType<typeof createBudget>

function keysOf({ owner, address }: BudgetHolder, limits: BudgetLimits): { key: string; limit: number }[] {
  const keys = []
  if (owner !== undefined && limits.owner > 0) keys.push({ key: `owner:${owner}`, limit: limits.owner })
  if (address !== undefined && limits.address > 0) {
    for (const { name, share } of clientNetworks(address)) {
      keys.push({ key: `address:${name}`, limit: limits.address * share })
    }
  }
  return keys
}
