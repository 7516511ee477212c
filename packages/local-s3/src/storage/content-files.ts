import { randomUUID } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, open, readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'

/*
 * What lies in the server's directory:
 *
 *   s3.sqlite (and s3.sqlite-wal)   what exists: buckets, objects, open multipart uploads, undelivered events
 *   content/<2 hex digits>/<uuid>   bytes of one object or of one part, written once, never changed
 *
 * Keys never become file names. Bytes are written first, under a random name that nothing refers to; one
 * transaction in s3.sqlite then makes them an object or a part, and what that replaces is unlinked afterwards.
 * A file that no row refers to is a leftover of a crash or of a broken upload and is swept when the server starts.
 */

/** Bytes gathered before a write: larger writes cost fewer trips through the thread pool. */
const writeBytes = 1024 * 1024
const readBytes = 512 * 1024

export type ContentRange = { contentId: string; start: number; end: number }
export type ContentFiles = Awaited<ReturnType<typeof createContentFiles>>

/**
 * Keeps the bytes of objects and parts in files.
 *
 * @param directory the server's directory; `content/` is made in it
 */
export async function createContentFiles(directory: string) {
  const root = join(directory, 'content')
  await mkdir(root, { recursive: true })
  for (let prefix = 0; prefix < 256; prefix++) {
    await mkdir(join(root, prefix.toString(16).padStart(2, '0')), { recursive: true })
  }
  /** Files being read, with how many readers each has; a discarded one is unlinked after the last. */
  const readers = new Map<string, number>()
  const condemned = new Set<string>()

  const pathOf = (contentId: string) => join(root, contentId.slice(0, 2), contentId)

  return {
    /**
     * Writes bytes to a new file as they come, one write in flight while the next is gathered.
     *
     * @returns the file's id and size in bytes
     * @throws what `chunks` throws or the file system does; nothing is left behind then
     */
    async write(chunks: AsyncIterable<Buffer>): Promise<{ contentId: string; size: number }> {
      const contentId = randomUUID()
      const path = pathOf(contentId)
      const file = await open(path, 'wx')
      let size = 0
      let gathered: Buffer[] = []
      let gatheredBytes = 0
      let inFlight: Promise<void> = Promise.resolve()
      const flush = async () => {
        const batch = gathered
        const expected = gatheredBytes
        gathered = []
        gatheredBytes = 0
        await inFlight
        inFlight = writeAll(file, batch, expected)
        // Awaited before the next write and at the end; until then a rejection is not "unhandled".
        inFlight.catch(() => undefined)
      }
      try {
        for await (const chunk of chunks) {
          gathered.push(chunk)
          gatheredBytes += chunk.length
          size += chunk.length
          if (gatheredBytes >= writeBytes) await flush()
        }
        if (gatheredBytes > 0) await flush()
        await inFlight
        await file.close()
      } catch (error) {
        await inFlight.catch(() => undefined)
        await file.close().catch(() => undefined)
        await rm(path, { force: true })
        throw error
      }
      return { contentId, size }
    },

    /**
     * Reads byte ranges of files one after another. The files stay until the iteration ends, even when the
     * object is replaced meanwhile.
     */
    async *read(ranges: readonly ContentRange[]): AsyncGenerator<Buffer> {
      for (const { contentId } of ranges) readers.set(contentId, (readers.get(contentId) ?? 0) + 1)
      try {
        for (const { contentId, start, end } of ranges) {
          if (end < start) continue
          yield* createReadStream(pathOf(contentId), { start, end, highWaterMark: readBytes })
        }
      } finally {
        for (const { contentId } of ranges) {
          const left = (readers.get(contentId) ?? 1) - 1
          if (left > 0) readers.set(contentId, left)
          else {
            readers.delete(contentId)
            if (condemned.delete(contentId)) await rm(pathOf(contentId), { force: true })
          }
        }
      }
    },

    /** Whether a file holds as many bytes as its row says; a power cut may have cut it short. */
    async isWhole(contentId: string, size: number): Promise<boolean> {
      const found = await stat(pathOf(contentId)).catch(() => undefined)
      return found?.size === size
    },

    /** Unlinks files that no row refers to any more. */
    async discard(contentIds: readonly string[]) {
      for (const contentId of contentIds) {
        if (readers.has(contentId)) condemned.add(contentId)
        else await rm(pathOf(contentId), { force: true })
      }
    },

    /** Deletes every file that is not in `used`: what a crash or a broken upload left behind. */
    async deleteUnused(used: ReadonlySet<string>) {
      for (const prefix of await readdir(root)) {
        for (const contentId of await readdir(join(root, prefix))) {
          if (!used.has(contentId)) await rm(join(root, prefix, contentId), { force: true })
        }
      }
    },
  }
}

async function writeAll(file: Awaited<ReturnType<typeof open>>, batch: Buffer[], expected: number) {
  const { bytesWritten } = await file.writev(batch)
  if (bytesWritten === expected) return
  // A short write: the rest goes in one piece.
  const rest = Buffer.concat(batch).subarray(bytesWritten)
  for (let offset = 0; offset < rest.length; ) {
    offset += (await file.write(rest, offset)).bytesWritten
  }
}
