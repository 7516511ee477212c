import { readdir } from 'node:fs/promises'
import { join } from 'node:path'

/** How many files with bytes of objects or parts a local server keeps in its directory. */
export async function countContentFiles(directory: string): Promise<number> {
  const root = join(directory, 'content')
  const folders = await Promise.all((await readdir(root)).map((folder) => readdir(join(root, folder))))
  return folders.flat().length
}
