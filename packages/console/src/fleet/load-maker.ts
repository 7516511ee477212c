import { ApiProblem, type Client, dataOf } from '@millrace/client'
import { signal } from '@preact/signals'

/** How long each request keeps a core busy, in ms. */
const burnMs = 1_000
/** How long to wait after an instance refused because all its cores are busy, in ms. */
const refusedDelayMs = 500

export type LoadState = { endsAt: number; done: number; refused: number; problem?: string }

/**
 * Keeps cores of the API instances busy, by several requests at once.
 *
 * @returns `state`: undefined before it was started. It runs until `endsAt` (ms since 1970), and is over when that has passed
 */
export function createLoadMaker({ client }: { client: Client }) {
  const state = signal<LoadState | undefined>(undefined)
  const isRunning = signal(false)
  let running = new AbortController()

  function count(change: (current: LoadState) => LoadState): void {
    if (state.value) state.value = change(state.value)
  }

  async function burnUntil(endsAt: number, abort: AbortController): Promise<void> {
    const { signal: stopped } = abort
    while (!stopped.aborted && Date.now() < endsAt) {
      try {
        dataOf(await client.api.GET('/load/{ms}', { params: { path: { ms: burnMs } }, signal: stopped }))
        count((current) => ({ ...current, done: current.done + 1 }))
      } catch (error) {
        if (stopped.aborted) return
        if (error instanceof ApiProblem && error.code === 'rate_limited') {
          count((current) => ({ ...current, refused: current.refused + 1 }))
          await new Promise((resolve) => setTimeout(resolve, refusedDelayMs))
          continue
        }
        const problem = error instanceof Error ? error.message : String(error)
        count((current) => ({ ...current, problem }))
        abort.abort()
      }
    }
  }

  return {
    state,
    isRunning,
    /** @param options.atOnce requests at the same time. @param options.seconds how long */
    async start({ atOnce, seconds }: { atOnce: number; seconds: number }): Promise<void> {
      const abort = new AbortController()
      running = abort
      const endsAt = Date.now() + seconds * 1000
      state.value = { endsAt, done: 0, refused: 0 }
      isRunning.value = true
      await Promise.all(Array.from({ length: atOnce }, () => burnUntil(endsAt, abort)))
      isRunning.value = false
    },
    stop: () => running.abort(),
  }
}

export type LoadMaker = ReturnType<typeof createLoadMaker>
