import type { StatsFs } from 'node:fs'
import { statfs } from 'node:fs/promises'
import { S3Error } from '../protocol/s3-error.ts'

/**
 * Space that bodies of requests leave free on the disk, in bytes, except for small ones. The tables need it, so that objects
 * can still be deleted when the disk is full.
 */
export const minFreeBytes = 16 * 1024 * 1024

/** Returns the bytes that this user can still write. File systems that do not know it report no blocks at all. */
export function freeBytesOf({ blocks, bavail, bsize }: Pick<StatsFs, 'blocks' | 'bavail' | 'bsize'>): number {
  return blocks === 0 ? Number.POSITIVE_INFINITY : bavail * bsize
}

export type DiskSpace = ReturnType<typeof createDiskSpace>

/**
 * Watches the space of the disk that contains a directory.
 *
 * @param directory the server's directory
 * @param warn receives one sentence when the disk is full, and one when it has space again
 */
export function createDiskSpace(directory: string, warn: (sentence: string) => void) {
  let wasFull = false

  function setFull(isFull: boolean): void {
    if (isFull && !wasFull)
      warn(`The disk of ${directory} is full: S3 refuses files until some space is free.`)
    if (!isFull && wasFull) warn(`The disk of ${directory} has space again: S3 accepts files.`)
    wasFull = isFull
  }

  return {
    /** @throws S3Error StorageFull if there is not enough space for a file */
    async require(): Promise<void> {
      const isFull = freeBytesOf(await statfs(directory)) < minFreeBytes
      setFull(isFull)
      if (isFull) throw new S3Error('StorageFull')
    },

    /** Returns S3's error for an error of the file system or of SQLite that means a full disk; others unchanged. */
    toS3Error(error: unknown): unknown {
      if (!isDiskFull(error)) return error
      setFull(true)
      return new S3Error('StorageFull')
    },
  }
}

/** SQLite's code of a full disk (https://www.sqlite.org/rescode.html#full). */
const sqliteFull = 13

function isDiskFull(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  if ('errcode' in error && error.errcode === sqliteFull) return true
  return 'code' in error && (error.code === 'ENOSPC' || error.code === 'EDQUOT')
}
