import { randomUUID } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, open, readdir, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { DiskSpace } from './disk-space.ts'

/*
 * Files in the server's directory:
 *
 *   s3.sqlite (and s3.sqlite-wal)   tables of buckets, objects, open multipart uploads and undelivered events
 *   content/<2 hex digits>/<uuid>   bytes of one object or of one part, written once, never changed
 *
 * Keys are never used as file names. Bytes are written first, to a file with a random name. Then one transaction in
 * s3.sqlite makes the file an object's or a part's content. Files that it replaced are deleted afterwards.
 * A file without a row was left by a crash or a broken upload. It is deleted when the server starts.
 */

/** Bytes buffered before a write: larger writes use the thread pool less often. */
const writeBytes = 1024 * 1024
const readBytes = 512 * 1024
/**
 * Bodies up to this size, in bytes, may use the space that is kept free. Those that S3's users write in order to delete
 * something, such as markers, are small.
 */
const smallBytes = 64 * 1024

export type ContentRange = { contentId: string; start: number; end: number }
export type ContentFiles = Awaited<ReturnType<typeof createContentFiles>>

/**
 * Stores the bytes of objects and parts in files.
 *
 * @param directory the server's directory; `content/` is created in it
 * @param diskSpace refuses files, except for small ones, if the disk is full
 */
export async function createContentFiles(directory: string, diskSpace: DiskSpace) {
  const root = join(directory, 'content')
  await mkdir(root, { recursive: true })
  /** Number of readers per open file. A discarded file is deleted after its last reader has finished. */
  const readers = new Map<string, number>()
  const discarded = new Set<string>()

  const pathOf = (contentId: string) => join(root, contentId.slice(0, 2), contentId)

  return {
    /**
     * Writes a stream to a new file. One write is in flight while the next is buffered.
     *
     * @returns the file's id and size in bytes
     * @throws S3Error StorageFull; the errors of `chunks` and of the file system; the file is deleted then
     */
    async write(chunks: AsyncIterable<Buffer>): Promise<{ contentId: string; size: number }> {
      const contentId = randomUUID()
      const path = pathOf(contentId)
      const file = await createFile(path)
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
        // Awaited before the next write and at the end. Until then a rejection must not count as unhandled.
        inFlight.catch(() => undefined)
      }
      try {
        for await (const chunk of chunks) {
          gathered.push(chunk)
          gatheredBytes += chunk.length
          if (size <= smallBytes && size + chunk.length > smallBytes) await diskSpace.require()
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
     * Reads byte ranges of files one after another. The files exist until the iteration ends, even if the object is
     * replaced meanwhile.
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
          const remaining = (readers.get(contentId) ?? 1) - 1
          if (remaining > 0) readers.set(contentId, remaining)
          else {
            readers.delete(contentId)
            if (discarded.delete(contentId)) await rm(pathOf(contentId), { force: true })
          }
        }
      }
    },

    /** Whether a file has the size that its row states. After a power cut it may be shorter. */
    async isComplete(contentId: string, size: number): Promise<boolean> {
      const stats = await stat(pathOf(contentId)).catch(() => undefined)
      return stats?.size === size
    },

    /** Deletes files that no row references any more. */
    async discard(contentIds: readonly string[]) {
      for (const contentId of contentIds) {
        if (readers.has(contentId)) discarded.add(contentId)
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

/** Creates a file, and its folder if this is the first file in it: a start would be slow if it created all 256 folders. */
async function createFile(path: string) {
  try {
    return await open(path, 'wx')
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error
    await mkdir(dirname(path), { recursive: true })
    return open(path, 'wx')
  }
}

async function writeAll(file: Awaited<ReturnType<typeof open>>, batch: Buffer[], expected: number) {
  const { bytesWritten } = await file.writev(batch)
  if (bytesWritten === expected) return
  // Not all bytes were written: the rest is joined and written again.
  const rest = Buffer.concat(batch).subarray(bytesWritten)
  for (let offset = 0; offset < rest.length; ) {
    offset += (await file.write(rest, offset)).bytesWritten
  }
}
