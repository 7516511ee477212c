import type { Client } from 'openapi-fetch'
import type { paths } from '../api/api-types.ts'
import { dataOf } from '../api/millrace-error.ts'
import type { Upload } from '../api/upload.ts'
import { followEvents } from './follow-events.ts'
import type { UploadProgress } from './wait-until-finished.ts'

export type WatchOptions = {
  /** Ends the watch. */
  signal?: AbortSignal
  /** Watches the uploads of all users of the tenant. Only for API keys with the scope `tenant`. */
  users?: 'all'
  /**
   * Called first with the newest uploads, and again if changes were missed while there was no connection. `nextCursor` is
   * there if older uploads exist. Not called with `users: 'all'`.
   */
  onSnapshot?: (uploads: Upload[], nextCursor: string | undefined) => void
  /** Called with each upload that is new or has changed. */
  onChange?: (upload: Upload) => void
  /** Called with the id of each erased upload; `user` is there with `users: 'all'`, if the user still exists. */
  onErased?: (erased: { id: string; user?: string }) => void
  /** Called with some of the steps while uploads are processed. Not called with `users: 'all'`. */
  onProgress?: (progress: UploadProgress) => void
  /** With `users: 'all'`: called if changes were missed while there was no connection. List what you need. */
  onMissed?: () => void
}

/** Creates the function that follows all uploads of an owner. */
export function createWatch({ api }: { api: Client<paths> }) {
  /**
   * Follows all uploads of the token's, session's or API key's owner, from now on. Reconnects without a limit on attempts,
   * and then continues after the last event.
   *
   * @returns when the signal aborts
   * @throws ApiProblem if the API returns an error that is not retryable; what a callback throws
   */
  return async function watch(options: WatchOptions): Promise<void> {
    const signal = options.signal ?? new AbortController().signal
    try {
      for await (const { event, data } of followEvents({ open, signal })) {
        if (event === 'snapshot') {
          const { uploads, nextCursor }: { uploads: Upload[]; nextCursor?: string } = JSON.parse(data)
          options.onSnapshot?.(uploads, nextCursor)
        }
        if (event === 'upload') options.onChange?.(JSON.parse(data))
        if (event === 'erased') options.onErased?.(JSON.parse(data))
        if (event === 'progress') options.onProgress?.(JSON.parse(data))
        if (event === 'missed') options.onMissed?.()
        // No event that arrived with the last one is passed on after the end.
        signal.throwIfAborted()
      }
    } catch (error) {
      if (!signal.aborted || error !== signal.reason) throw error
    }

    async function open(lastEventId: string | undefined) {
      const { users } = options
      const result = await api.GET('/events', {
        params: {
          query: { ...(users !== undefined && { users }) },
          header: { ...(lastEventId !== undefined && { 'last-event-id': lastEventId }) },
        },
        parseAs: 'stream',
        signal,
      })
      if (!result.response.ok) dataOf(result)
      return result.response.body ?? undefined
    }
  }
}
