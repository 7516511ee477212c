import { signal } from '@preact/signals'

/** `offline`: the browser says that it has no network. `unreachable`: the API does not answer. */
export type ConnectionState = 'online' | 'offline' | 'unreachable'

/** Delays between two questions whether the API answers, in ms: doubled from the first to the last. */
const firstDelayMs = 500
const maxDelayMs = 8_000
/** An API that takes longer to answer counts as unreachable, in ms. */
const timeoutMs = 5_000

/**
 * Knows whether the API can be reached. Nothing is asked until somebody suspects that it cannot.
 *
 * @param deps.apiAnswers asks the API, and returns whether it answered
 */
export function createConnection({ apiAnswers }: { apiAnswers: (signal: AbortSignal) => Promise<boolean> }) {
  const state = signal<ConnectionState>(navigator.onLine ? 'online' : 'offline')
  let isAsking = false

  addEventListener('offline', () => {
    state.value = 'offline'
  })
  addEventListener('online', () => {
    state.value = 'online'
    suspect()
  })

  /** Asks whether the API answers, and if not, again until it does. */
  async function suspect(): Promise<void> {
    if (isAsking) return
    isAsking = true
    for (let delayMs = firstDelayMs; navigator.onLine; delayMs = Math.min(delayMs * 2, maxDelayMs)) {
      const answers = await apiAnswers(AbortSignal.timeout(timeoutMs)).catch(() => false)
      if (!navigator.onLine) break
      state.value = answers ? 'online' : 'unreachable'
      if (answers) break
      await new Promise((resolve) => setTimeout(resolve, delayMs))
    }
    isAsking = false
  }

  return { state, suspect }
}

export type Connection = ReturnType<typeof createConnection>
