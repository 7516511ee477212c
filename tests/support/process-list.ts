import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'

export type RunningProcess = { pid: number; command: string; environment: string[] }

/**
 * Lists the running processes of this machine, from /proc. A process that has ended but was not reaped by its parent
 * yet (a zombie) has no command line and is not listed.
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
      // It ended between listing and reading, or belongs to another user.
      const code = error instanceof Error && 'code' in error ? String(error.code) : ''
      if (!['ENOENT', 'ESRCH', 'EACCES'].includes(code)) throw error
    }
  }
  return processes
}

/**
 * Waits until no process has this variable (`NAME=value`) in its environment, which children inherit. It polls,
 * because the system reports the end of a process only to its parent.
 */
export async function allGone(variable: string): Promise<void> {
  while (listProcesses().some(({ environment }) => environment.includes(variable))) await delay(20)
}
