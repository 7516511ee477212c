import {
  ApiProblem,
  createClient,
  type Upload,
  type UploadOptions,
  type UploadTask,
  type WatchOptions,
} from '@millrace/client'
import { createIdentity } from '../../../packages/console/src/frame/identity.ts'
import type {
  InterruptedFile,
  InterruptedFiles,
} from '../../../packages/console/src/sending/kept/interrupted-files.ts'
import { createSending } from '../../../packages/console/src/sending/sending.ts'
import { isUnsent, type SendingFile } from '../../../packages/console/src/sending/sending-file.ts'

const createdAt = '2026-01-01T00:00:00.000Z'
const session = { createdAt, signedIn: null, signInEnded: false, user: null, views: 1 }

/** The problem that the API gives of an upload that it does not have. */
export const notFound = new ApiProblem(new Response(null, { status: 404 }), {
  type: 'about:blank',
  title: 'Not Found',
  status: 404,
  code: 'upload_not_found',
  detail: 'No upload with this id.',
  message: 'No upload with this id.',
  requestId: '1',
})

/** An upload, as the API tells it. */
export function upload(id: string, fields: Partial<Upload> = {}): Upload {
  return {
    ...{
      id,
      state: 'received',
      filename: `${id}.txt`,
      contentType: 'text/plain',
      size: 1,
      preset: 'default',
    },
    ...{ variants: [], createdAt, updatedAt: createdAt },
    ...fields,
  }
}

/** A file of one byte, as the user chooses it. */
export function chosenFile(name: string): File {
  return new File(['1'], name, { lastModified: 1 })
}

/**
 * A file that an earlier page did not finish, in a browser that can open it again.
 *
 * @param options.getFile opens it
 * @param options.requestPermission asks the user whether it may be opened. Without it, nobody is asked
 */
export function interruptedFile(
  filename: string,
  options: {
    getFile?: () => Promise<File>
    requestPermission?: () => Promise<PermissionState>
    isPaused?: boolean
  } = {},
): InterruptedFile {
  const { getFile = async () => chosenFile(filename), requestPermission, isPaused = false } = options
  const handle: FileSystemFileHandle = {
    kind: 'file',
    name: filename,
    getFile,
    isSameEntry: async (other) => other === handle,
    createWritable: () => Promise.reject(new Error('The page only reads.')),
  }
  const queryPermission = async () => 'prompt'
  if (requestPermission) Object.assign(handle, { queryPermission, requestPermission })
  const times = { lastModified: 1, owner: createdAt, addedAt: 1 }
  return { key: filename, filename, size: 1, page: 'earlier', ...times, handle, isPaused }
}

/** A folder whose files the browser may read. */
export function folderHandle(name: string): FileSystemDirectoryHandle {
  const refuses = () => Promise.reject(new Error('The page only keeps the folder.'))
  const lists = () => {
    throw new Error('The page does not list the folder.')
  }
  const handle: FileSystemDirectoryHandle = {
    ...{ kind: 'directory', name, isSameEntry: async (other: FileSystemHandle) => other === handle },
    ...{ getDirectoryHandle: refuses, getFileHandle: refuses, removeEntry: refuses, resolve: refuses },
    ...{ keys: lists, values: lists, entries: lists, [Symbol.asyncIterator]: lists },
  }
  return handle
}

/** An attempt to send a file, which the test ends. */
type Attempt = {
  filename: string
  task: UploadTask
  announce(id: string): void
  end(outcome: Upload | Error): void
}

/**
 * Opens the sending of a page whose client sends nothing: tests decide what becomes of each attempt, and what the API and the
 * stream tell.
 *
 * @param options.interrupted what earlier pages did not finish
 * @param options.get what the API tells of an upload
 * @param options.opened when the session is open
 * @param options.erased when aborted attempts are erased
 */
export function openSending(
  options: {
    interrupted?: InterruptedFile[]
    get?: (id: string) => Promise<Upload>
    opened?: Promise<unknown>
    erased?: Promise<unknown>
  } = {},
) {
  const {
    interrupted = [],
    get = () => Promise.reject(notFound),
    opened = Promise.resolve(),
    erased,
  } = options
  const attempts: Attempt[] = []
  const waiting = new Set<() => void>()
  let stream: WatchOptions = {}

  const client = {
    ...createClient({
      origin: 'http://millrace.test',
      fetch: async () => opened.then(() => Response.json(session)),
    }),
    get,
    erase: () => Promise.reject(notFound),
    watch: (watched: WatchOptions) => {
      stream = watched
      return new Promise<void>((resolve) => watched.signal?.addEventListener('abort', () => resolve()))
    },
    startUpload(_file: Blob, { filename = '', onAnnounced }: UploadOptions = {}) {
      const { promise: sent, resolve, reject } = Promise.withResolvers<Upload>()
      // As of the client, whose promise need not be handled.
      sent.catch(() => undefined)
      let state: UploadTask['state'] = 'sending'
      const task: UploadTask = {
        id: undefined,
        sent,
        get state() {
          return state
        },
        pause: () => (state = 'paused'),
        resume: () => (state = 'sending'),
        async abort() {
          state = 'aborted'
          reject(new DOMException('The upload is aborted.', 'AbortError'))
          await erased
        },
      }
      attempts.push({
        filename,
        task,
        announce: (id) => onAnnounced?.(id),
        end(outcome) {
          state = outcome instanceof Error ? 'failed' : 'sent'
          if (outcome instanceof Error) reject(outcome)
          else resolve(outcome)
        },
      })
      for (const check of waiting) check()
      return task
    },
  }
  const records = createRecords(interrupted)
  const sending = createSending({ client, identity: createIdentity({ client }), records })

  return {
    sending,
    attempts,
    /** What the page after this one would find. */
    stored: records.stored,
    stream: () => stream,

    /** Resolves to an attempt, by its order, as soon as it begins. */
    attempt(number: number): Promise<Attempt> {
      const { promise, resolve } = Promise.withResolvers<Attempt>()
      const check = () => {
        const found = attempts[number - 1]
        if (!found) return
        waiting.delete(check)
        resolve(found)
      }
      waiting.add(check)
      check()
      return promise
    },

    shown,

    /** Ends all that still has a timer. */
    async close(): Promise<void> {
      sending.cancelAll()
      await shown((files) => !files.some(isUnsent))
    },
  }

  /** Resolves when the page shows files of which something is so. */
  function shown(isSo: (files: readonly SendingFile[]) => boolean): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const stop = sending.files.subscribe((files) => isSo(files) && resolve())
    return promise.finally(stop)
  }
}

/** Records in memory: Node has no IndexedDB. */
function createRecords(
  interrupted: InterruptedFile[],
): InterruptedFiles & { stored: Map<string, InterruptedFile> } {
  const stored = new Map(interrupted.map((file) => [file.key, file]))
  return {
    stored,
    remember(files) {
      for (const file of files) stored.set(file.key, { ...file, page: 'this' })
    },
    update(key, fields) {
      const file = stored.get(key)
      if (file) stored.set(key, { ...file, ...fields })
    },
    forget(keys) {
      for (const key of keys) stored.delete(key)
    },
    take: async () => interrupted,
  }
}
