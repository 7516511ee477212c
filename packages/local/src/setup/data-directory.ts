import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
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
  try {
    createDirectory(directory)
    makeDataPrivate(directory)
  } catch (error) {
    throw new StartError(`The data directory ${directory} cannot be created: ${messageOf(error)}.`)
  }
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
    throw new StartError(`The data directory ${directory} cannot be written to: ${messageOf(error)}.`)
  }
}

const messageOf = (error: unknown) => (error instanceof Error ? error.message : String(error))
