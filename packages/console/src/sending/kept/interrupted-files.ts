import { createStore, delMany, entries, getMany, setMany, type UseStore } from 'idb-keyval'
import { isFileHandle, isFolderHandle } from './file-handles.ts'

/** A file that an earlier page did not send to the end. */
export type InterruptedFile = {
  key: string
  filename: string
  size: number
  lastModified: number
  /** When its session began, ISO 8601: the files of another session are not shown. */
  owner: string
  /** Which page sends it. */
  page: string
  /** When it was added, in ms since 1970. */
  addedAt: number
  uploadId?: string
  handle?: FileSystemFileHandle
  folder?: FileSystemDirectoryHandle | undefined
  isPaused?: boolean
}

type Update = Partial<Pick<InterruptedFile, 'uploadId' | 'isPaused' | 'handle' | 'folder'>>

/** Files that nobody chose again are forgotten after this time, in ms. Their uploads have expired. */
const lifeMs = 7 * 24 * 60 * 60 * 1000
/** A page that was just closed gives its lock back within this time, in ms. */
const lockMs = 1_000
const lockPrefix = 'millrace-page-'

/**
 * Remembers which files are being sent, for the page after this one. Nothing of it throws: a browser without storage only
 * forgets them.
 */
export function createInterruptedFiles() {
  const page = crypto.getRandomValues(new Uint32Array(4)).join('-')
  const store = open()
  let lastChange: Promise<unknown> = holdLock(lockPrefix + page)

  /** Changes one after the other. */
  function change(work: (store: UseStore) => Promise<unknown>): Promise<unknown> {
    lastChange = lastChange.then(() => store && work(store)).catch(() => undefined)
    return lastChange
  }

  /** What is to be updated, or to be forgotten: thousands of files are paused or cancelled at once. */
  const planned = new Map<string, Update | undefined>()

  function plan(key: string, update: Update | undefined): void {
    if (planned.size === 0) queueMicrotask(runPlan)
    planned.set(key, update)
  }

  function runPlan(): void {
    const updates = [...planned].flatMap(([key, fields]) => (fields ? [{ key, fields }] : []))
    const forgotten = [...planned].flatMap(([key, fields]) => (fields ? [] : [key]))
    planned.clear()
    if (forgotten.length > 0) change((store) => delMany(forgotten, store))
    if (updates.length > 0) change((store) => updateMany(updates, store))
  }

  return {
    remember(files: readonly Omit<InterruptedFile, 'page'>[]): void {
      change((store) => setMany(entriesOf(files, page), store))
    },

    update(key: string, fields: Update): void {
      plan(key, { ...planned.get(key), ...fields })
    },

    forget(keys: readonly string[]): void {
      for (const key of keys) plan(key, undefined)
    },

    /** Takes over the files of pages that are closed. Each is taken by one page. */
    async take(owner: string): Promise<InterruptedFile[]> {
      return (store && (await withLock('millrace-take', () => take(store, owner)).catch(() => []))) ?? []
    },
  }

  async function take(store: UseStore, owner: string): Promise<InterruptedFile[]> {
    const stored = (await entries<string, unknown>(store)).map(([, value]) => value).filter(isInterrupted)
    const expired = stored.filter(({ addedAt }) => Date.now() - addedAt > lifeMs)
    const own = stored.filter((file) => file.owner === owner && !expired.includes(file))
    const pages = [...new Set(own.map((file) => file.page))]
    const closed = new Set(await Promise.all(pages.map(async (page) => (await isClosed(page)) && page)))
    const taken = own.filter((file) => closed.has(file.page)).sort((a, b) => a.addedAt - b.addedAt)
    await change((store) => delMany(keysOf(expired), store))
    await change((store) => setMany(entriesOf(taken, page), store))
    return taken
  }
}

export type InterruptedFiles = ReturnType<typeof createInterruptedFiles>

function open(): UseStore | undefined {
  return typeof indexedDB === 'undefined' ? undefined : createStore('millrace-sending', 'files')
}

function entriesOf(files: readonly Omit<InterruptedFile, 'page'>[], page: string) {
  return files.map((file): [string, InterruptedFile] => [file.key, { ...file, page }])
}

async function updateMany(
  updates: readonly { key: string; fields: Update }[],
  store: UseStore,
): Promise<void> {
  const keys = updates.map(({ key }) => key)
  const files = await getMany<InterruptedFile>(keys, store)
  const changed = updates.flatMap(({ key, fields }, index): [string, InterruptedFile][] => {
    const file = files[index]
    return file ? [[key, { ...file, ...fields }]] : []
  })
  await setMany(changed, store)
}

function keysOf(files: readonly InterruptedFile[]): string[] {
  return files.map(({ key }) => key)
}

function withLock<Result>(name: string, work: () => Promise<Result>): Promise<Result> {
  const locks = lockManager()
  return locks ? locks.request(name, work) : work()
}

/** The type of `navigator` says that locks are there, but they need a secure context. */
function lockManager(): LockManager | undefined {
  return navigator.locks
}

/** Holds a lock as long as the page exists. Resolves when it is held. */
function holdLock(name: string): Promise<void> {
  const locks = lockManager()
  if (!locks) return Promise.resolve()
  return new Promise((resolve) => {
    const hold = () => {
      resolve()
      return new Promise<void>(() => {})
    }
    locks.request(name, hold).catch(() => resolve())
  })
}

/** Without locks, nothing tells a closed page from an open one. */
async function isClosed(page: string): Promise<boolean> {
  const locks = lockManager()
  if (!locks) return false
  const signal = AbortSignal.timeout(lockMs)
  return locks.request(lockPrefix + page, { signal }, () => true).catch(() => false)
}

function isInterrupted(value: unknown): value is InterruptedFile {
  if (typeof value !== 'object' || value === null) return false
  const file: Partial<Record<keyof InterruptedFile, unknown>> = value
  const texts = [file.key, file.filename, file.owner, file.page]
  const numbers = [file.size, file.lastModified, file.addedAt]
  return (
    texts.every((text) => typeof text === 'string') &&
    numbers.every((number) => typeof number === 'number') &&
    (file.uploadId === undefined || typeof file.uploadId === 'string') &&
    (file.handle === undefined || isFileHandle(file.handle)) &&
    (file.folder === undefined || isFolderHandle(file.folder))
  )
}
