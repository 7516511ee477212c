import type { ChildProcess } from 'node:child_process'
import { hasErrorCode } from './error-code.ts'

/**
 * Sends a signal to a process, or with a negative id to a process group. Signal 0 only checks that it exists.
 * @returns false if there is no such process
 */
export function signalProcess(pid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(pid, signal)
  } catch (error) {
    if (hasErrorCode(error, 'ESRCH')) return false
    throw error
  }
}

/** Sends a signal to a detached child and all its descendants. Does nothing if they have already exited. */
export function signalGroup(leader: ChildProcess, signal: NodeJS.Signals): void {
  if (leader.pid !== undefined) signalProcess(-leader.pid, signal)
}

/**
 * Asks a process, or with a negative id a process group, to exit. A process that SIGSTOP has stopped handles SIGTERM
 * only after it continues, so it gets SIGCONT as well.
 */
export function terminateProcess(pid: number): void {
  signalProcess(pid, 'SIGTERM')
  signalProcess(pid, 'SIGCONT')
}
