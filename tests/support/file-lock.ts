import { mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout } from 'node:timers/promises'

/** How often a process looks whether another one has ended its work, in ms. */
const pollMs = 500
/** `SQLITE_BUSY` of SQLite's result codes. */
const busy = 5

/**
 * Works while no other process works under the same lock. It is SQLite's lock on a file, which ends with its process, however
 * that ends.
 *
 * @param path of the file, which is created
 * @returns what the work returns
 * @throws what the work throws
 */
export async function withFileLock<Result>(path: string, work: () => Promise<Result>): Promise<Result> {
  mkdirSync(dirname(path), { recursive: true })
  const database = new DatabaseSync(path, { timeout: 0 })
  try {
    while (!locks(database)) await setTimeout(pollMs)
    return await work()
  } finally {
    database.close()
  }
}

function locks(database: DatabaseSync): boolean {
  try {
    database.exec('BEGIN EXCLUSIVE')
    return true
  } catch (error) {
    if (error instanceof Error && 'errcode' in error && error.errcode === busy) return false
    throw error
  }
}
