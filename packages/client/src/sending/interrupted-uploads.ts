import { createClaims } from './claims.ts'
import { fingerprintOf } from './fingerprint.ts'
import type { Transfer } from './transfer.ts'
import { pageStorage, type UploadStorage } from './upload-storage.ts'

/** The API remembers an Idempotency-Key this long, in ms. */
const keyLifeMs = 24 * 60 * 60 * 1000

/** What is stored of a transfer. */
type Entry = { transfer: Transfer; expiresAtMs: number }

/** The memory of one file's transfer, for pages after this one. Nothing of it throws: without it, files are sent as well. */
export type TransferMemory = {
  /** The transfer of an earlier page. */
  read(): Promise<Transfer | undefined>
  write(transfer: Transfer): Promise<void>
  remove(): Promise<void>
  /** Lets other pages continue. */
  release(): void
}

/**
 * Remembers the transfers of files that are being sent, by the fingerprints of the files.
 *
 * @param deps.storage the page's localStorage by default
 * @param deps.origin the API's origin, if it is not the page's own
 */
export function createInterruptedUploads(deps: {
  storage: UploadStorage | undefined
  origin: string | undefined
}) {
  const storage = deps.storage ?? pageStorage((value) => parse(value) === undefined)
  const claim = createClaims()

  return {
    /**
     * Opens the memory of a file's transfer.
     *
     * @param scope only transfers of the same scope are found
     * @returns undefined if there is no storage, or if another upload of the same file is running
     */
    async open(file: Blob, scope: string): Promise<TransferMemory | undefined> {
      const key = await keyOf(file, scope)
      const release = key === undefined ? undefined : await claim(key)
      if (!storage || key === undefined || !release) return undefined
      let lastWrite = Promise.resolve()
      /** Writes one after the other. A full or forbidden storage only means that nothing is remembered. */
      const change = (work: () => unknown) => {
        lastWrite = lastWrite.then(async () => void (await work())).catch(() => undefined)
        return lastWrite
      }
      return {
        read: () => read(key),
        write: (transfer) => {
          const text = JSON.stringify(entryOf(transfer))
          return change(() => storage.set(key, text))
        },
        remove: () => change(() => storage.remove(key)),
        release,
      }
    },

    /** Finds the transfer of a file, also if it is running in another page. */
    async find(file: Blob, scope: string): Promise<Transfer | undefined> {
      const key = await keyOf(file, scope)
      return key === undefined ? undefined : read(key)
    },
  }

  async function keyOf(file: Blob, scope: string): Promise<string | undefined> {
    return storage && fingerprintOf(file, [deps.origin ?? '', scope])
  }

  async function read(key: string): Promise<Transfer | undefined> {
    try {
      return parse((await storage?.get(key)) ?? '')?.transfer
    } catch {
      return undefined
    }
  }
}

export type InterruptedUploads = ReturnType<typeof createInterruptedUploads>

/** Parts can be continued until the upload expires, anything else while the API remembers its key. */
function entryOf(transfer: Transfer): Entry {
  const { isInParts, expiresAtMs = 0 } = transfer
  return { transfer, expiresAtMs: isInParts ? expiresAtMs : Date.now() + keyLifeMs }
}

/** @returns undefined if a value is no entry of ours, or has expired */
function parse(value: string): Entry | undefined {
  try {
    const entry: unknown = JSON.parse(value)
    return isEntry(entry) && entry.expiresAtMs > Date.now() ? entry : undefined
  } catch {
    return undefined
  }
}

function isEntry(value: unknown): value is Entry {
  if (!isObject(value) || typeof value['expiresAtMs'] !== 'number') return false
  const { transfer } = value
  if (!isObject(transfer) || typeof transfer['key'] !== 'string') return false
  const { announcement, id } = transfer
  return isObject(announcement) && (id === undefined || typeof id === 'string')
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}
