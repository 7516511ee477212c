import type { Client } from '@millrace/client'
import { dataOf } from '@millrace/client'
import type { Identity } from '../frame/identity.ts'
import { createOwnerEvents } from './owner-events.ts'
import { createUploadList } from './upload-list.ts'

const notFound = 404
const pageSize = 50

/**
 * Manages the uploads of this browser's session: follows their processing and keeps the list.
 *
 * @param deps.client a client of the API that serves the page
 * @param deps.identity opens the session before anything else is requested
 */
export function createUploads({ client, identity }: { client: Client; identity: Identity }) {
  const list = createUploadList()
  const events = createOwnerEvents({
    onSnapshot(uploads, nextCursor) {
      if (!isLoaded) cursor = nextCursor
      isLoaded = true
      list.setSnapshot(uploads, { isAll: nextCursor === undefined })
    },
    onUpload: (upload) => list.setUploads([upload]),
    onErased: list.remove,
    onProgress: list.setProgress,
  })
  let cursor: string | undefined
  let isLoaded = false

  return {
    list,

    /** Erases an upload. @throws ApiProblem; TypeError if the API cannot be reached */
    async erase(id: string): Promise<void> {
      await eraseUpload(id)
      list.remove(id)
    },

    /** Opens the session, then loads the newest uploads and follows all. @returns whether there are older ones */
    async open(): Promise<boolean> {
      await identity.open()
      await events.open()
      return cursor !== undefined
    },

    /** Loads the next page of older uploads that is not empty. @returns whether there are more */
    async loadMore(): Promise<boolean> {
      for (;;) {
        const query = { limit: pageSize, ...(cursor !== undefined && { cursor }) }
        const page = dataOf(await client.api.GET('/uploads', { params: { query } }))
        // An empty page with the same cursor: the API cannot list more at the moment.
        const isStuck = cursor === page.nextCursor
        cursor = page.nextCursor
        list.setUploads(page.uploads)
        if (page.uploads.length > 0 || cursor === undefined || isStuck) return cursor !== undefined
      }
    },
  }

  /** @throws ApiProblem; TypeError if the API cannot be reached */
  async function eraseUpload(id: string): Promise<void> {
    const result = await client.api.DELETE('/uploads/{id}', { params: { path: { id } } })
    // 404 means that it is erased already.
    if (result.response.status !== notFound) dataOf(result)
  }
}

export type Uploads = ReturnType<typeof createUploads>
