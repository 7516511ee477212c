import { signal } from '@preact/signals'
import type { Toasts } from '../design/toasts.tsx'
import { type BulkResult, describeFailures, type OnProgress } from './store/bulk.ts'
import type { Uploads } from './store/uploads.ts'

/** What is being done with many uploads. */
export type Acting = { label: string; done: number; total: number }
/** Signed links of originals, and when the first of them ends. */
export type Links = { urls: string[]; expiresAt: string | undefined; missing: string }

/** Creates the actions on several uploads: each shows its progress, and says in a message what came out. */
export function createActions({ uploads, toasts }: { uploads: Uploads; toasts: Toasts }) {
  const { bulk, store, selection } = uploads
  const acting = signal<Acting | undefined>(undefined)

  async function run<Result extends BulkResult>(
    label: string,
    total: number,
    act: (onProgress: OnProgress) => Promise<Result>,
  ): Promise<Result> {
    acting.value = { label, done: 0, total }
    try {
      return await act((done) => {
        acting.value = { label, done, total }
      })
    } finally {
      acting.value = undefined
    }
  }

  function tell({ done, failures }: BulkResult, what: string): void {
    if (done.length > 0) toasts.tell(`${countText(done.length)} ${what}.`)
    const failed = [...failures.values()].flat().length
    if (failed > 0) {
      toasts.tellFailure(`${countText(failed)} could not be ${what}`, new Error(describeFailures(failures)))
    }
  }

  return {
    acting,

    async erase(ids: readonly string[]): Promise<void> {
      const result = await run('Deleting', ids.length, (onProgress) => bulk.erase(ids, onProgress))
      store.erase(result.done)
      tell(result, 'deleted')
    },

    async reprocess(ids: readonly string[], preset: string | undefined): Promise<void> {
      const result = await run('Sending to the workers', ids.length, (onProgress) =>
        bulk.reprocess(ids, preset, onProgress),
      )
      selection.clear()
      tell(result, 'sent to the workers')
    },

    async links(ids: readonly string[]): Promise<Links> {
      const result = await run('Signing', ids.length, (onProgress) => bulk.links(ids, onProgress))
      const failed = [...result.failures.values()].flat().length
      const missing =
        failed > 0 ? `${countText(failed)} without a link: ${describeFailures(result.failures)}` : ''
      return { urls: result.urls, expiresAt: result.expiresAt, missing }
    },
  }
}

export type Actions = ReturnType<typeof createActions>

function countText(count: number): string {
  return count === 1 ? '1 upload' : `${count.toLocaleString()} uploads`
}
