import { type Api, ApiProblem, type Session } from './api.ts'
import { createTransfers } from './transfers.ts'
import { createUploadEvents } from './upload-events.ts'
import { createUploadList, type Row, type Rows } from './upload-list.ts'

const notFound = 404
/** As many streams as are open at once: uploads that nobody sends from here only get what is left of them. */
const followedAtLeast = 2

/**
 * The uploads of this browser's session: sends files, follows what becomes of them, and keeps the list of it.
 *
 * @param deps.api the Millrace API
 */
export function createUploads({ api }: { api: Api }) {
  const list = createUploadList()
  const transfers = createTransfers({ api, onTransfer: list.setTransfer, onAnnounced: list.setId })
  const events = createUploadEvents({ onUpload: (upload) => list.setUploads([upload]), onBroken: look })
  let cursor: string | undefined

  list.subscribe((rows) => events.follow(unfinished(rows)))

  return {
    list,
    retry: transfers.retry,
    cancel: transfers.cancel,

    add(files: readonly File[]): void {
      const keys = list.addFiles(files)
      for (const [index, file] of files.entries()) {
        const key = keys[index]
        if (key !== undefined) transfers.start(key, file)
      }
    },

    /**
     * Makes sure of the session, then loads the newest uploads. One after the other, as requests at the same
     * time without a cookie would each get a session of its own.
     */
    async open(): Promise<{ session: Session; more: boolean }> {
      const session = await api.session()
      return { session, more: await this.loadMore() }
    },

    /** Loads the next older uploads. @returns whether there are even older ones */
    async loadMore(): Promise<boolean> {
      const page = await api.list(cursor)
      cursor = page.nextCursor
      list.setUploads(page.uploads)
      return cursor !== undefined
    },

    /** Catches up with what happened elsewhere: in another tab, or by curl. */
    async refresh(): Promise<void> {
      const { uploads } = await api.list()
      list.setUploads(uploads)
    },
  }

  /** The stream of an upload was refused: it may have ended, or may be gone. */
  async function look(id: string): Promise<void> {
    try {
      list.setUploads([await api.find(id)])
    } catch (error) {
      // Anything else is for the stream to find out when it is opened once more.
      if (error instanceof ApiProblem && error.status === notFound) list.remove(id)
    }
  }
}

export type Uploads = ReturnType<typeof createUploads>

/**
 * Which uploads to follow: the oldest unfinished one first, as workers take them. Those whose bytes are not
 * being sent from here (given up, from an earlier visit, or of another tab) come last, if there is room.
 */
function unfinished(rows: Rows): string[] {
  const oldestFirst = rows.toReversed()
  const moving = oldestFirst.filter(isMoving).flatMap(({ id }) => id ?? [])
  const idle = rows.filter(isIdle).flatMap(({ id }) => id ?? [])
  return [...moving, ...idle.slice(0, Math.max(0, followedAtLeast - moving.length))]
}

function isMoving({ upload, transfer }: Row): boolean {
  if (upload && upload.state !== 'awaiting')
    return upload.state === 'received' || upload.state === 'processing'
  return transfer?.phase === 'sent'
}

/** What was given up or failed here may have arrived all the same, with only the answer lost. */
function isIdle({ upload, transfer }: Row): boolean {
  if (upload && upload.state !== 'awaiting') return false
  return transfer === undefined || transfer.phase === 'cancelled' || transfer.phase === 'failed'
}
