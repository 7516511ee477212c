import { readFileSync, writeSync } from 'node:fs'

/** A test file's report to the runner: one JSON object per line, on a separate pipe that stdout cannot write to. */
export type TestReport =
  | { kind: 'started'; suite: string; name: string }
  | { kind: 'test'; suite: string; name: string; outcome: 'passed' | 'failed'; ms: number }
  | { kind: 'skipped'; suite: string; name: string; reason: string }
  /** A failure outside of a single test: a hook, a missing run(), an open handle. */
  | { kind: 'failure'; message: string }
  /** The file has run to its end, and the process begins another one. */
  | { kind: 'next'; cpuMs: number }
  /** The last line of each process. A file without either did not run to its end. */
  | { kind: 'finished'; cpuMs: number }

/** Separates the outputs of files that share a process, on standard output and on standard error. */
export const endOfFileOutput = '\0'

/** The environment variable with the file descriptor of the runner's pipe. */
export const reportDescriptorVariable = 'MILLRACE_TEST_REPORT_FD'

/**
 * Opens the pipe to the runner. The variable is removed at once, so that processes that a test starts cannot report
 * as this file.
 * @returns a function that writes one report synchronously, because an asynchronous write would be lost at exit. It
 * does nothing if the file runs without the runner.
 */
export function openTestReport(environment: NodeJS.ProcessEnv): (report: TestReport) => void {
  const value = environment[reportDescriptorVariable]
  delete environment[reportDescriptorVariable]
  if (value === undefined) return () => {}
  const descriptor = Number(value)
  return (report) => {
    writeSync(descriptor, `${JSON.stringify(report)}\n`)
  }
}

/** A tick of /proc's times on Linux, in milliseconds. */
const tickMs = 10

/**
 * Returns the CPU time that this process has used, with that of its ended descendants, in milliseconds. Only Linux knows
 * that of descendants, and not of those whose own parent did not wait for their end.
 */
export function cpuTimeMs(): number {
  const { user, system } = process.cpuUsage()
  if (process.platform !== 'linux') return (user + system) / 1000
  // After the name, which may contain spaces: state, 10 other fields, utime, stime, cutime, cstime. See proc_pid_stat(5).
  const fields = readFileSync('/proc/self/stat', 'utf8').split(') ').pop()?.split(' ') ?? []
  const ofChildren = fields.slice(13, 15).reduce((sum, ticks) => sum + Number(ticks) * tickMs, 0)
  return (user + system) / 1000 + ofChildren
}
