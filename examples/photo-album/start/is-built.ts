import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'

/** Returns whether a package's `dist` is newer than its `src`. */
export function isBuilt(directory: string): boolean {
  const source = join(directory, 'src')
  const times = readdirSync(source, { recursive: true, encoding: 'utf8' }).map(
    (name) => statSync(join(source, name)).mtimeMs,
  )
  const built = statSync(join(directory, 'dist/client.js'), { throwIfNoEntry: false })?.mtimeMs ?? 0
  return built > Math.max(...times)
}
