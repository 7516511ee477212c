import { readdirSync, readFileSync } from 'node:fs'

/**
 * Lists the processes of this machine that still run, from /proc. A process that has ended but that nobody
 * has asked about yet (a zombie) has no command line left and is not listed.
 */
export function listProcesses(): { pid: number; command: string }[] {
  const processes: { pid: number; command: string }[] = []
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue
    try {
      const command = readFileSync(`/proc/${name}/cmdline`, 'utf8').replaceAll('\0', ' ').trim()
      if (command) processes.push({ pid: Number(name), command })
    } catch (error) {
      // It ended between listing and reading.
      if (!(error instanceof Error && 'code' in error && ['ENOENT', 'ESRCH'].includes(`${error.code}`)))
        throw error
    }
  }
  return processes
}
