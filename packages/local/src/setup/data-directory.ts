import { existsSync, mkdirSync, readFileSync, rmSync, statfsSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { freeBytesOf, minFreeBytes } from '@millrace/local-s3/storage/disk-space.ts'
import { makeDataPrivate } from './private-files.ts'
import { StartError } from './start-error.ts'

/**
 * Creates a data directory if necessary, makes it private, and locks it for this process. The lock is SQLite's lock on a file, so the system releases it even
 * if this process is killed. A file that contains a process id would remain.
 * @returns `release()`
 * @throws StartError if another Millrace process holds the lock, or if the directory cannot be written
 */
export function lockDataDirectory(directory: string) {
  const pidFile = join(directory, 'supervisor.pid')
  const lockFile = join(directory, 'supervisor.lock')
  createDataDirectory(directory)
  checkDiskSpace(directory)
  const database = openDatabase(lockFile, directory)
  try {
    // Nothing is ever written, so no journal file is needed.
    database.exec('PRAGMA journal_mode = MEMORY')
    database.exec('BEGIN EXCLUSIVE')
  } catch {
    database.close()
    const pid = readFileSync(pidFile, 'utf8').trim()
    throw new StartError(
      `Millrace already runs on ${directory} (process ${pid}): stop it, or choose another directory with --data.`,
    )
  }
  writeFileSync(pidFile, `${process.pid}\n`)
  return {
    release() {
      rmSync(pidFile, { force: true })
      // The lock file remains: another process may already hold a lock on it.
      database.close()
    },
  }
}

/**
 * Creates a data directory if necessary, and makes it private.
 * @throws StartError that says why this is not possible
 */
export function createDataDirectory(directory: string): void {
  try {
    createDirectory(directory)
    makeDataPrivate(directory)
  } catch (error) {
    if (isFile(directory)) throw new StartError(`The data directory ${directory} is a file: ${chooseAnother}`)
    throw new StartError(
      `The data directory ${directory} cannot be created: ${messageOf(error)}. C${chooseAnother.slice(1)}`,
    )
  }
}

/**
 * Below this free space, S3 accepts no files, and Redis will soon refuse changes.
 * @throws StartError
 */
function checkDiskSpace(directory: string): void {
  const freeBytes = freeBytesOf(statfsSync(directory))
  if (freeBytes >= minFreeBytes) return
  throw new StartError(
    `The disk of the data directory ${directory} is full (${toMebibytes(freeBytes)} of the required ${toMebibytes(minFreeBytes)} are free): free some space, or ${chooseAnother}`,
  )
}

const chooseAnother = 'choose another one with --data.'
const toMebibytes = (bytes: number) => `${Math.floor(bytes / 1024 ** 2)} MiB`
const isFile = (path: string) => statSync(path, { throwIfNoEntry: false })?.isFile() ?? false

/** Like mkdir -p. Node's own recursive mkdir loops forever if a parent exists but accepts no children (/proc). */
function createDirectory(directory: string) {
  if (existsSync(directory)) return
  const parent = dirname(directory)
  if (!existsSync(parent)) createDirectory(parent)
  mkdirSync(directory)
}

function openDatabase(file: string, directory: string) {
  try {
    return new DatabaseSync(file, { timeout: 0 })
  } catch (error) {
    throw new StartError(
      `The data directory ${directory} cannot be written to: ${messageOf(error)}. C${chooseAnother.slice(1)}`,
    )
  }
}

const messageOf = (error: unknown) => (error instanceof Error ? error.message : String(error))
