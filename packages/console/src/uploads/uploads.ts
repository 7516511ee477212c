import type { Client, Upload } from '@millrace/client'
import { dataOf } from '@millrace/client'
import type { Identity } from '../frame/identity.ts'
import { createTransfers } from '../sending/transfers.ts'
import { createOwnerEvents } from './owner-events.ts'
import { createUploadList } from './upload-list.ts'

const notFound = 404
const pageSize = 50

/**
 * Manages the uploads of this browser's session: sends files, follows their processing and keeps the list.
 *
 * @param deps.client a client of the API that serves the page
 * @param deps.identity opens the session before anything else is requested
 */
export function createUploads({ client, identity }: { client: Client; identity: Identity }) {
  const list = createUploadList()
  const transfers = createTransfers({
    client,
    onTransfer(key, transfer) {
      list.setTransfer(key, transfer)
      flushEarly()
    },
    onAnnounced(key, id) {
      list.setId(key, id)
      flushEarly()
    },
    erase(id) {
      list.detach(id)
      // If this fails, the upload reappears when the list is loaded again.
      eraseUpload(id).catch(console.warn)
    },
  })
  const events = createOwnerEvents({
    onSnapshot(uploads, nextCursor) {
      if (!isLoaded) cursor = nextCursor
      isLoaded = true
      list.setSnapshot(uploads, { isAll: nextCursor === undefined })
    },
    onUpload(upload) {
      if (transfers.isAnnouncing() && !list.has(upload.id)) early.push(upload)
      else list.setUploads([upload])
    },
    onErased: list.remove,
    onProgress: list.setProgress,
  })
  let cursor: string | undefined
  let isLoaded = false
  /**
   * Uploads reported by events while files of this page are being announced. They can be those files, whose
   * ids are not known yet, so they wait until the announcements are done.
   */
  let early: Upload[] = []

  return {
    list,
    retry: transfers.retry,
    cancel: transfers.cancel,

    add(files: readonly File[]): void {
      transfers.start(list.addFiles(files))
    },

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

  function flushEarly(): void {
    if (early.length === 0 || transfers.isAnnouncing()) return
    const uploads = early
    early = []
    list.setUploads(uploads)
  }
}

export type Uploads = ReturnType<typeof createUploads>
