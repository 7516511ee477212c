/** The part of the Web Locks API that is used. Node's types have none before version 24.5. */
type LockManager = {
  request(name: string, options: { signal: AbortSignal }, callback: () => Promise<void>): Promise<unknown>
}

/** A page that is loaded again waits this long for its predecessor's claim to end, in ms. */
const waitMs = 1_000

/**
 * Creates the function that claims names, so that each is used by one upload at a time: by Web Locks among all pages of an
 * origin, where a browser has them (secure contexts), otherwise among the uploads of this client.
 */
export function createClaims() {
  const claimed = new Set<string>()

  /** @returns a function that ends the claim; undefined if the name is claimed */
  return async function claim(name: string): Promise<(() => void) | undefined> {
    if (claimed.has(name)) return undefined
    claimed.add(name)
    const unlock = await lock(`millrace-upload-${name}`)
    if (!unlock) claimed.delete(name)
    return (
      unlock &&
      (() => {
        claimed.delete(name)
        unlock()
      })
    )
  }
}

/** @returns a function that unlocks; undefined if another page has the lock */
function lock(name: string): Promise<(() => void) | undefined> {
  const noLock = () => {}
  const locks = lockManager()
  if (!locks) return Promise.resolve(noLock)
  return new Promise((resolve) => {
    const hold = () => new Promise<void>((unlock) => resolve(unlock))
    locks
      .request(name, { signal: AbortSignal.timeout(waitMs) }, hold)
      // Pages in a sandbox may not use locks.
      .catch((error: unknown) => resolve(isTimeout(error) ? undefined : noLock))
  })
}

function lockManager(): LockManager | undefined {
  const host: { navigator?: { locks?: LockManager } } = globalThis
  return host.navigator?.locks
}

function isTimeout(error: unknown): boolean {
  return error instanceof DOMException && error.name === 'TimeoutError'
}
