import type { Client, components, Upload } from '@millrace/client'
import { dataOf } from '@millrace/client/millrace-error.ts'
import { createOwnerEvents } from './owner-events.ts'
import { createTransfers } from './transfers.ts'
import { createUploadList } from './upload-list.ts'

const notFound = 404
const pageSize = 50

export type Session = components['schemas']['Session']

/**
 * The uploads of this browser's session: sends files, follows what becomes of them, and keeps the list of it.
 *
 * @param deps.client of the API that the page comes from
 */
export function createUploads({ client }: { client: Client }) {
  const list = createUploadList()
  const transfers = createTransfers({
    client,
    onTransfer(key, transfer) {
      list.setTransfer(key, transfer)
      takeEarly()
    },
    onAnnounced(key, id) {
      list.setId(key, id)
      takeEarly()
    },
    erase(id) {
      list.detach(id)
      // Should it fail, the upload is on the list again when that is loaded anew.
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
  })
  let cursor: string | undefined
  let isLoaded = false
  /** Told of while files are announced here: they may be those files. */
  let early: Upload[] = []

  return {
    list,
    retry: transfers.retry,
    cancel: transfers.cancel,

    add(files: readonly File[]): void {
      transfers.start(list.addFiles(files))
    },

    /** Erases an upload. @throws ApiProblem; TypeError where the API cannot be reached */
    async remove(id: string): Promise<void> {
      await eraseUpload(id)
      list.remove(id)
    },

    /**
     * Makes sure of the session, then loads the newest uploads and follows all. One after the other, as
     * requests at the same time without a cookie would each get a session of its own.
     *
     * @returns the session, and whether there are older uploads
     */
    async open(): Promise<{ session: Session; more: boolean }> {
      const session = dataOf(await client.api.GET('/session'))
      await events.open()
      return { session, more: cursor !== undefined }
    },

    /** Loads the next older uploads. @returns whether there are even older ones */
    async loadMore(): Promise<boolean> {
      const query = { limit: pageSize, ...(cursor !== undefined && { cursor }) }
      const page = dataOf(await client.api.GET('/uploads', { params: { query } }))
      cursor = page.nextCursor
      list.setUploads(page.uploads)
      return cursor !== undefined
    },
  }

  /** @throws ApiProblem; TypeError where the API cannot be reached */
  async function eraseUpload(id: string): Promise<void> {
    const answer = await client.api.DELETE('/uploads/{id}', { params: { path: { id } } })
    // Gone is what it should be.
    if (answer.response.status !== notFound) dataOf(answer)
  }

  function takeEarly(): void {
    if (early.length === 0 || transfers.isAnnouncing()) return
    const uploads = early
    early = []
    list.setUploads(uploads)
  }
}

export type Uploads = ReturnType<typeof createUploads>
