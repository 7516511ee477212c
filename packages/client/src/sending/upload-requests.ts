import type { Client } from 'openapi-fetch'
import type { components, paths } from '../api/api-types.ts'
import { ApiProblem, dataOf } from '../api/millrace-error.ts'
import { retry } from '../api/retry.ts'
import type { Upload } from '../api/upload.ts'
import type { Transfer } from './transfer.ts'

type Schemas = components['schemas']

const notFound = 404

/** Creates the requests to the API that sending a file needs. Each is retried after temporary errors. */
export function createUploadRequests({ api }: { api: Client<paths> }) {
  return {
    /**
     * Announces a file. The Idempotency-Key makes a retry return the same upload, not a second one, with fresh signatures.
     * Records in the transfer which transport the API understood.
     */
    async announce(transfer: Transfer, signal: AbortSignal): Promise<Schemas['AnnouncedUpload']> {
      try {
        return await post(transfer, signal)
      } catch (error) {
        // During a deploy, an instance of the version before may get the request, which only knows forms.
        if (transfer.announcement.transport === undefined || !isAboutTransport(error)) throw error
        const { transport: _, ...announcement } = transfer.announcement
        transfer.announcement = announcement
        return post(transfer, signal)
      }
    },

    async find(id: string, signal: AbortSignal): Promise<Upload> {
      return request(signal, () => api.GET('/uploads/{id}', { params: { path: { id } }, signal }))
    },

    /** Lists the parts that S3 has. */
    async listParts(id: string, signal: AbortSignal): Promise<Schemas['SentParts']> {
      return request(signal, () => api.GET('/uploads/{id}/parts', { params: { path: { id } }, signal }))
    },

    async signParts(id: string, partNumbers: number[], signal: AbortSignal): Promise<Schemas['PartUrl'][]> {
      const params = { path: { id } }
      const signed = await request(signal, () =>
        api.POST('/uploads/{id}/parts', { params, body: { partNumbers }, signal }),
      )
      return signed.parts
    },

    async complete(
      id: string,
      parts: { partNumber: number; etag: string }[],
      signal: AbortSignal,
    ): Promise<Upload> {
      const params = { path: { id } }
      return request(signal, () => api.POST('/uploads/{id}/complete', { params, body: { parts }, signal }))
    },

    /** Erases an upload, unless it is erased already. */
    async erase(id: string, signal: AbortSignal): Promise<void> {
      const params = { path: { id } }
      try {
        await request(signal, () => api.DELETE('/uploads/{id}', { params, signal }))
      } catch (error) {
        if (!isNotFound(error)) throw error
      }
    },
  }

  function post({ key, announcement }: Transfer, signal: AbortSignal) {
    const params = { header: { 'idempotency-key': key } }
    return request(signal, () => api.POST('/uploads', { params, body: announcement, signal }))
  }
}

export type UploadRequests = ReturnType<typeof createUploadRequests>

/** Whether the API has no such upload: it was erased, has expired, or is another owner's. */
export function isNotFound(error: unknown): boolean {
  return error instanceof ApiProblem && error.status === notFound
}

function request<Data>(
  signal: AbortSignal,
  send: () => Promise<{ data?: Data; error?: unknown; response: Response }>,
): Promise<Data> {
  return retry(async () => dataOf(await send()), { signal })
}

function isAboutTransport(error: unknown): boolean {
  return (
    error instanceof ApiProblem && (error.problem?.errors ?? []).some(({ field }) => field === 'transport')
  )
}
