import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { StartError } from './start-error.ts'

/**
 * Takes a data directory for this process alone. The lock is SQLite's lock on a file, so the system releases
 * it even when this process is killed; a file with a process id would stay behind.
 * @returns `release()`
 * @throws StartError when another supervisor has it, or when it cannot be written
 */
export function lockDataDirectory(directory: string) {
  const pidFile = join(directory, 'supervisor.pid')
  const lockFile = join(directory, 'supervisor.lock')
  try {
    makeDirectory(directory)
  } catch (error) {
    throw new StartError(`The data directory ${directory} cannot be made: ${messageOf(error)}.`)
  }
  const database = openDatabase(lockFile, directory)
  try {
    // Nothing is ever written, so no journal need lie beside the file.
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
      // The lock's file stays: removing it could take the lock from under the next one.
      database.close()
    },
  }
}

/** Like mkdir -p. Node's own turns in circles for ever where a parent exists but takes no children (/proc). */
function makeDirectory(directory: string) {
  if (existsSync(directory)) return
  const parent = dirname(directory)
  if (!existsSync(parent)) makeDirectory(parent)
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
