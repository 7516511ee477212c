import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'

export type RunningProcess = { pid: number; command: string; environment: string[] }

/**
 * Lists the processes of this machine that still run, from /proc. A process that has ended but that nobody
 * has asked about yet (a zombie) has no command line left and is not listed.
 */
export function listProcesses(): RunningProcess[] {
  const processes: RunningProcess[] = []
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue
    try {
      const read = (file: string) => readFileSync(`/proc/${name}/${file}`, 'utf8').split('\0').filter(Boolean)
      const command = read('cmdline').join(' ')
      if (command) processes.push({ pid: Number(name), command, environment: read('environ') })
    } catch (error) {
      // It ended between listing and reading, or belongs to someone else.
      const code = error instanceof Error && 'code' in error ? String(error.code) : ''
      if (!['ENOENT', 'ESRCH', 'EACCES'].includes(code)) throw error
    }
  }
  return processes
}

/**
 * Waits until no process has this in its environment (`NAME=value`), which children inherit. Asked again and
 * again, because the system announces the end of a process to nobody but its parent.
 */
export async function allGone(variable: string): Promise<void> {
  while (listProcesses().some(({ environment }) => environment.includes(variable))) await delay(20)
}
