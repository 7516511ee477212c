import { existsSync, globSync, statSync } from 'node:fs'
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'

const cache = join(import.meta.dirname, '../../node_modules/.cache')
/** Directories of earlier sources are removed when they are older than this, in ms: no run that began before uses them. */
const keptMs = 7 * 24 * 60 * 60 * 1000

/**
 * Builds a directory of generated files below node_modules/.cache, unless it has been built before.
 *
 * @param name what it contains
 * @param hash a digest of everything that decides its content
 * @param build writes the files into `unfinished`, which becomes `directory` when all are written
 * @returns the directory
 */
export async function buildOnce(
  name: string,
  hash: string,
  build: (paths: { unfinished: string; directory: string }) => Promise<void>,
): Promise<string> {
  const directory = join(cache, `${name}-${hash.slice(0, 16)}`)
  if (existsSync(directory)) return directory
  await mkdir(cache, { recursive: true })
  for (const path of globSync(join(cache, `${name}-*`))) {
    if (Date.now() - statSync(path).mtimeMs > keptMs) await rm(path, { recursive: true, force: true })
  }
  const unfinished = await mkdtemp(join(cache, `${name}-unfinished-`))
  await build({ unfinished, directory })
  // Another run may have built it at the same time.
  await rename(unfinished, directory).catch(() => rm(unfinished, { recursive: true }))
  return directory
}
