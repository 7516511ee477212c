import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

/**
 * Mounts a file system in memory that a test can fill: only a real one returns ENOSPC at the same places as a full disk.
 *
 * @param mebibytes its size
 * @returns undefined if this user may not mount
 */
export async function mountSmallDisk(mebibytes: number) {
  const directory = await mkdtemp(join(tmpdir(), 'millrace-disk-'))
  const options = `size=${mebibytes}m,uid=${process.getuid?.() ?? 0},mode=700`
  for (const prefix of [[], ['sudo', '-n']]) {
    const [command = '', ...parameters] = [
      ...prefix,
      'mount',
      '-t',
      'tmpfs',
      '-o',
      options,
      'tmpfs',
      directory,
    ]
    const mounted = await run(command, parameters).then(
      () => true,
      () => false,
    )
    if (!mounted) continue
    return {
      directory,
      async remove() {
        const [program = '', ...others] = [...prefix, 'umount', directory]
        await run(program, others)
        await rm(directory, { recursive: true })
      },
    }
  }
  await rm(directory, { recursive: true })
  return undefined
}
