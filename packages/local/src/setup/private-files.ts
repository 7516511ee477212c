import { chmodSync, lstatSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { hasErrorCode } from './error-code.ts'

/** Bits of a file's mode for its group and for all other users. */
const otherUsers = 0o077
/** Directories such as /tmp in which everyone may create files (sticky bit). */
const sharedDirectory = 0o1000

/** The umask with which files of the data directory are created: only their user can read them. */
export const privateUmask = 0o077

/** What a data directory contains. */
const ownEntries = [
  'secrets.json',
  'services.json',
  's3-port',
  'supervisor.lock',
  'supervisor.pid',
  'compile-cache',
  'logs',
  'redis',
  's3',
]

/**
 * Takes away what other users of this machine may do with a data directory and its files. Earlier versions created them
 * for everyone to read. New files need `privateUmask`.
 *
 * Only entries of this user are changed. A directory that is private already is not searched, so that later starts take no
 * time. If the user chose a directory that also contains other files, it keeps its mode, and so do these files.
 *
 * @param directory an existing directory
 */
export function makeDataPrivate(directory: string): void {
  const isOurs = readdirSync(directory).every((name) => ownEntries.includes(name))
  if (isOurs && !(lstatSync(directory).mode & sharedDirectory)) restrict(directory)
  for (const name of ownEntries) makePrivate(join(directory, name))
}

/** Makes a file or a directory private. A directory comes after its contents, so that an interrupted call is repeated. */
function makePrivate(path: string): void {
  const found = statOrNothing(path)
  if (!found || (!found.isDirectory() && !found.isFile()) || !(found.mode & otherUsers)) return
  if (found.isDirectory()) for (const name of readdirSync(path)) makePrivate(join(path, name))
  restrict(path)
}

function restrict(path: string): void {
  const { mode, uid } = lstatSync(path)
  if (uid === process.getuid?.() && mode & otherUsers) chmodSync(path, mode & ~otherUsers)
}

/** Returns undefined if the file does not exist, or not any more. */
function statOrNothing(path: string) {
  try {
    return lstatSync(path)
  } catch (error) {
    if (hasErrorCode(error, 'ENOENT')) return undefined
    throw error
  }
}
