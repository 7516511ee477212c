import { readdir } from 'node:fs/promises'
import { join } from 'node:path'

/** Counts the files with bytes of objects or parts in a local server's directory. */
export async function countContentFiles(directory: string): Promise<number> {
  const root = join(directory, 'content')
  const folders = await Promise.all((await readdir(root)).map((folder) => readdir(join(root, folder))))
  return folders.flat().length
}
