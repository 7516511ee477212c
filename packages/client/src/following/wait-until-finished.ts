import type { Client } from 'openapi-fetch'
import type { components, paths } from '../api/api-types.ts'
import { dataOf } from '../api/millrace-error.ts'
import { retry } from '../api/retry.ts'
import { isFinished, type Upload } from '../api/upload.ts'
import { followEvents } from './follow-events.ts'

/** What a worker does with an upload: `inspecting`, `rendering` (`done` of `total` variants) or `publishing`. */
export type UploadProgress = components['schemas']['UploadProgress']

/** Creates the function that follows an upload over server-sent events, and reconnects after failures. */
export function createWaitUntilFinished({ api }: { api: Client<paths> }) {
  /**
   * Waits until an upload is finished. Reconnects without a limit on attempts, until the signal aborts.
   *
   * @param options.onChange called with the current upload, then with each change
   * @param options.onProgress called with some of the steps while the upload is processed; not at all if that takes only
   *   a moment
   * @returns the upload once it is `ready`, `rejected` or `failed`
   * @throws ApiProblem if the API returns an error that is not retryable; the signal's reason if it aborts
   */
  return async function waitUntilFinished(
    id: string,
    options: {
      signal?: AbortSignal
      onChange?: (upload: Upload) => void
      onProgress?: (progress: UploadProgress) => void
    } = {},
  ): Promise<Upload> {
    const signal = options.signal ?? new AbortController().signal
    for await (const { event, data } of followEvents({ open, signal })) {
      if (event === 'progress') options.onProgress?.(JSON.parse(data))
      if (event !== 'upload') continue
      const upload: Upload = JSON.parse(data)
      options.onChange?.(upload)
      if (isFinished(upload)) return upload
    }
    // The stream had ended before, at its last event: the upload is finished.
    const find = () => api.GET('/uploads/{id}', { params: { path: { id } }, signal })
    return retry(async () => dataOf(await find()), { signal })

    async function open(lastEventId: string | undefined) {
      const result = await api.GET('/uploads/{id}/events', {
        params: {
          path: { id },
          header: { ...(lastEventId !== undefined && { 'last-event-id': lastEventId }) },
        },
        parseAs: 'stream',
        signal,
      })
      if (result.response.status === 204) return undefined
      if (!result.response.ok) dataOf(result)
      return result.response.body ?? undefined
    }
  }
}
