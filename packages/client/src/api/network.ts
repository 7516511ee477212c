/** The part of a page's globals that is used. Node has no such events. */
declare const navigator: { onLine?: boolean } | undefined
declare const addEventListener: (name: 'online', listener: () => void) => void
declare const removeEventListener: (name: 'online', listener: () => void) => void

/** Whether the browser knows that it has no network. The opposite proves nothing. */
export function isOffline(): boolean {
  return typeof navigator !== 'undefined' && navigator.onLine === false
}

/** Resolves when a browser that `isOffline` has a network again. @throws the signal's reason if it aborts */
export function untilOnline(signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const onEnd = () => {
      removeEventListener('online', onEnd)
      signal.removeEventListener('abort', onEnd)
      if (signal.aborted) reject(signal.reason)
      else resolve()
    }
    addEventListener('online', onEnd)
    signal.addEventListener('abort', onEnd)
    if (signal.aborted || !isOffline()) onEnd()
  })
}
