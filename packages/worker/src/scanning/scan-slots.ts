/**
 * Limits how many scans run at once. Others wait for their turn, in their order.
 *
 * @param count how many
 */
export function createScanSlots(count: number) {
  let free = count
  const waiting: (() => void)[] = []

  /**
   * @param signal ends the waiting
   * @returns a function that frees the slot; further calls do nothing
   * @throws the signal's reason
   */
  return async function takeSlot(signal: AbortSignal): Promise<() => void> {
    signal.throwIfAborted()
    if (free > 0) free -= 1
    else await waitForSlot(signal)
    let isFreed = false
    return () => {
      if (isFreed) return
      isFreed = true
      const next = waiting.shift()
      if (next) next()
      else free += 1
    }
  }

  async function waitForSlot(signal: AbortSignal): Promise<void> {
    const slot = Promise.withResolvers<void>()
    const abort = () => {
      const at = waiting.indexOf(slot.resolve)
      if (at < 0) return
      waiting.splice(at, 1)
      slot.reject(signal.reason)
    }
    waiting.push(slot.resolve)
    signal.addEventListener('abort', abort, { once: true })
    await slot.promise.finally(() => signal.removeEventListener('abort', abort))
  }
}
