import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { cp, mkdir, mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { plantedSecrets } from './planted-secrets.ts'

const run = promisify(execFile)
const root = join(import.meta.dirname, '../..')

export type CopiedRepository = Awaited<ReturnType<typeof copyRepository>>

/**
 * Copies the repository as it is now, without what Git ignores, and plants secrets in the copy.
 *
 * @returns its directory; the copied paths; and the text that all planted files contain
 */
export async function copyRepository() {
  const directory = await mkdtemp(join(tmpdir(), 'millrace-images-'))
  const { stdout } = await run('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
    cwd: root,
    maxBuffer: 16 * 1024 ** 2,
  })
  const paths = stdout.split('\0').filter(Boolean)
  for (const path of paths) await cp(join(root, path), join(directory, path))
  const secret = `planted-${randomUUID()}`
  for (const path of plantedSecrets) {
    await mkdir(dirname(join(directory, path)), { recursive: true })
    // Compose reads `.env`, so it must be in its syntax.
    await writeFile(join(directory, path), `SECRET=${secret}\n`)
  }
  return { directory, paths, secret }
}
