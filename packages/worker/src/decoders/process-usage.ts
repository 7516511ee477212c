import { readFileSync } from 'node:fs'

/** Memory pages of Linux on x86-64 and on Graviton's Amazon Linux and Debian kernels, in bytes. */
const pageBytes = 4096
/** Linux reports CPU time in ticks of 1/100 s on all its platforms (USER_HZ, time(7)). */
const tickMs = 10

/** What a process uses: resident memory in bytes, CPU time in ms. */
export type ProcessUsage = { rssBytes: number; cpuMs: number }

/**
 * Reads what a process and its children use, from /proc. It takes some 30 µs.
 *
 * @returns undefined if it has ended, or if the system has no /proc (macOS)
 */
export function readProcessUsage(pid: number): ProcessUsage | undefined {
  const own = readOwnUsage(pid)
  if (!own) return undefined
  const all = [own, ...readChildren(pid).map((child) => readOwnUsage(child))]
  return {
    rssBytes: all.reduce((sum, usage) => sum + (usage?.rssBytes ?? 0), 0),
    cpuMs: all.reduce((sum, usage) => sum + (usage?.cpuMs ?? 0), 0),
  }
}

/** @returns process ids of the children that its first thread started (proc_pid_task_children(5)) */
function readChildren(pid: number): number[] {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').split(' ').filter(Boolean).map(Number)
  } catch {
    // A kernel without CONFIG_PROC_CHILDREN.
    return []
  }
}

/** proc_pid_statm(5), proc_pid_stat(5). CPU time includes that of children that have ended. */
function readOwnUsage(pid: number): ProcessUsage | undefined {
  try {
    const resident = readFileSync(`/proc/${pid}/statm`, 'latin1').split(' ')[1]
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    // The second field is the program's name in parentheses, which may contain spaces. Fields 14 to 17 are utime, stime,
    // cutime and cstime.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return {
      rssBytes: Number(resident) * pageBytes,
      cpuMs: fields.slice(11, 15).reduce((sum, ticks) => sum + Number(ticks), 0) * tickMs,
    }
  } catch {
    return undefined
  }
}
