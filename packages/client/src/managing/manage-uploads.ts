import type { Client } from 'openapi-fetch'
import type { components, paths } from '../api/api-types.ts'
import { ApiProblem, dataOf } from '../api/millrace-error.ts'
import { isRetryable, retry } from '../api/retry.ts'
import type { Upload } from '../api/upload.ts'

type Schemas = components['schemas']
type ListQuery = NonNullable<paths['/uploads']['get']['parameters']['query']>

/** Which uploads are listed, and in which order. All conditions must be true. */
export type ListFilter = Omit<ListQuery, 'cursor' | 'limit'>
/** The page that begins after `cursor`, the `nextCursor` of the page before. `limit`: 50 by default, 200 at most. */
export type PageOptions = ListFilter & Pick<ListQuery, 'cursor' | 'limit'>
/** Some of an owner's uploads. `nextCursor` is absent on the last page. A page can be short, or empty, and have one. */
export type UploadPage = Schemas['UploadPage']
/** What was erased of an upload. */
export type Receipt = Schemas['Receipt']
/** Fields of the metadata to set; `null` deletes a field, and fields that are not named stay. */
export type UploadEdit = { filename?: string; metadata?: Record<string, string | null> }

type Options = { signal?: AbortSignal }

/** The most that the API returns at once. */
const largestPage = 200

/**
 * Creates the functions that find, change and erase uploads. Each request is repeated after temporary failures.
 *
 * All of them throw ApiProblem, with the code `upload_not_found` also for uploads of other owners; or the signal's reason if
 * it aborts.
 */
export function createUploadManagement({ api }: { api: Client<paths> }) {
  const never = new AbortController().signal

  /** Returns one page of the owner's uploads. */
  function listPage(query: PageOptions = {}, { signal = never }: Options = {}): Promise<UploadPage> {
    return retry(async () => dataOf(await api.GET('/uploads', { params: { query }, signal })), { signal })
  }

  return {
    listPage,

    /** Iterates all of the owner's uploads that match the filter, newest first unless it says otherwise. */
    async *list(filter: ListFilter = {}, options: Options = {}): AsyncGenerator<Upload, void> {
      let cursor: string | undefined
      do {
        const page = await listPage({ ...filter, limit: largestPage, ...(cursor && { cursor }) }, options)
        yield* page.uploads
        cursor = page.nextCursor
      } while (cursor)
    },

    /** Returns an upload. */
    get(id: string, { signal = never }: Options = {}): Promise<Upload> {
      const params = { path: { id } }
      return retry(async () => dataOf(await api.GET('/uploads/{id}', { params, signal })), { signal })
    },

    /** Changes the filename and the metadata of an upload. */
    edit(id: string, edit: UploadEdit, { signal = never }: Options = {}): Promise<Upload> {
      const params = { path: { id } }
      const request = () => api.PATCH('/uploads/{id}', { params, body: edit, signal })
      return retry(async () => dataOf(await request()), { signal })
    },

    /** Renders the variants of a finished upload again. @param preset another preset than before */
    reprocess(id: string, { preset, signal = never }: Options & { preset?: string } = {}): Promise<Upload> {
      const params = { path: { id } }
      const body = { ...(preset !== undefined && { preset }) }
      const request = () => api.POST('/uploads/{id}/reprocess', { params, body, signal })
      // After a lost response it may be processed already: a second request would be refused, or process it twice.
      const wasRefused = (error: unknown) => error instanceof ApiProblem && isRetryable(error)
      return retry(async () => dataOf(await request()), { signal, isRetryable: wasRefused })
    },

    /** Erases an upload with all its variants, for good. An upload in parts is aborted. Erasing it again is no error. */
    erase(id: string, { signal = never }: Options = {}): Promise<Receipt> {
      const params = { path: { id } }
      return retry(async () => dataOf(await api.DELETE('/uploads/{id}', { params, signal })), { signal })
    },
  }
}
