import { readdirSync, readFileSync } from 'node:fs'

/** Clock ticks per second of proc(5); 100 on Linux. */
const ticksPerSecond = 100

/**
 * Returns the CPU time of a process and its descendants, user and kernel, in seconds, to 10 ms. Descendants that ended
 * count if their parent waited for them, as Node does.
 */
export function treeCpuSeconds(pid: number): number {
  const ticks = processTree(pid).map(({ fields }) => {
    // proc(5): utime, stime, cutime, cstime are fields 14 to 17; the first two are cut off here.
    return [11, 12, 13, 14].reduce((sum, index) => sum + Number(fields[index]), 0)
  })
  return ticks.reduce((sum, one) => sum + one, 0) / ticksPerSecond
}

/** Returns the resident memory of a process and its descendants together, in bytes. Shared pages count for each. */
export function treeBytes(pid: number): number {
  return processTree(pid).reduce((sum, one) => sum + residentBytes(one.pid), 0)
}

function residentBytes(pid: number): number {
  try {
    return Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) * 1024
  } catch {
    // The process ended meanwhile.
    return 0
  }
}

type ProcessEntry = { pid: number; parent: number; fields: string[] }

function processTree(root: number): ProcessEntry[] {
  const all = readdirSync('/proc').flatMap((name) => readEntry(Number(name)))
  const tree = all.filter(({ pid }) => pid === root)
  for (const member of tree) tree.push(...all.filter(({ parent }) => parent === member.pid))
  return tree
}

function readEntry(pid: number): ProcessEntry[] {
  if (!Number.isInteger(pid)) return []
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // The name, which is in brackets, may contain anything.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return [{ pid, parent: Number(fields[1]), fields }]
  } catch {
    return []
  }
}
