import { ApiProblem, type Client } from '@millrace/client'
import { signal } from '@preact/signals'
import type { Identity } from '../frame/identity.ts'
import { drawSamplePicture } from './sample-picture.ts'

/** Marks the samples, so that they can be found and erased. */
const mark = { sample: 'fleet' }
/** Uploads that are sent or erased at the same time. */
const atOnce = 4

/** What is being done with the samples, or was done last. `done` of `total`; the total is not known while removing. */
export type SampleState = {
  work: 'sending' | 'removing'
  isRunning: boolean
  done: number
  total: number | undefined
  problem?: string
}

/** Sends small pictures that are drawn in the page, and erases them again. */
export function createSampleUploads({ client, identity }: { client: Client; identity: Identity }) {
  const state = signal<SampleState | undefined>(undefined)
  let running = new AbortController()

  function count(): void {
    if (state.value) state.value = { ...state.value, done: state.value.done + 1 }
  }

  /** Does the work for each item, some at a time, and shows its progress. The first failure ends it. */
  async function run<Item>(
    { work, total, items }: { work: SampleState['work']; total?: number; items: AsyncIterator<Item> },
    handle: (item: Item, stopped: AbortSignal) => Promise<unknown>,
  ): Promise<void> {
    const abort = new AbortController()
    running = abort
    state.value = { work, isRunning: true, done: 0, total }
    const takeItems = async () => {
      while (!abort.signal.aborted) {
        const { done, value } = await items.next()
        if (done) return
        await handle(value, abort.signal)
        count()
      }
    }
    try {
      await identity.open()
      await Promise.all(Array.from({ length: atOnce }, takeItems))
    } catch (error) {
      const isStopped = abort.signal.aborted
      abort.abort()
      if (!isStopped && state.value) state.value = { ...state.value, problem: problemText(error) }
    } finally {
      if (state.value) state.value = { ...state.value, isRunning: false }
    }
  }

  return {
    state,
    stop: () => running.abort(),
    async send(total: number): Promise<void> {
      await run({ work: 'sending', total, items: numbers(total) }, async (number, stopped) => {
        const picture = await drawSamplePicture(number)
        const filename = `sample-${String(number).padStart(3, '0')}.jpg`
        await client.upload(picture, { filename, metadata: mark, resume: 'never', signal: stopped })
      })
    },
    /** Erases all samples of this user, whenever they were sent. */
    async remove(): Promise<void> {
      await run({ work: 'removing', items: client.list({ metadata: mark }) }, ({ id }) => client.erase(id))
    },
  }
}

export type SampleUploads = ReturnType<typeof createSampleUploads>

async function* numbers(total: number): AsyncGenerator<number, void> {
  for (let number = 1; number <= total; number++) yield number
}

function problemText(error: unknown): string {
  if (error instanceof ApiProblem && (error.status === 401 || error.status === 403)) {
    return 'You may not upload here. Sign in with an API key that has the scope uploads:write.'
  }
  return error instanceof Error ? error.message : String(error)
}
