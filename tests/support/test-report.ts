import { writeSync } from 'node:fs'

/** What a test file tells the runner, one JSON object a line, on a pipe of its own that stdout cannot reach. */
export type TestReport =
  | { kind: 'started'; suite: string; name: string }
  | { kind: 'test'; suite: string; name: string; outcome: 'passed' | 'failed'; ms: number }
  | { kind: 'skipped'; suite: string; name: string; reason: string }
  /** A failure that belongs to no single test: a hook, a forgotten run(), an open handle. */
  | { kind: 'failure'; message: string }
  /** The last line of every file; a file without it was cut short. */
  | { kind: 'finished' }

/** Names the file descriptor of the runner's pipe in a test file's environment. */
export const reportDescriptorVariable = 'MILLRACE_TEST_REPORT_FD'

/**
 * Opens the way back to the runner. The variable is removed at once, so that nothing which a test starts
 * can report in its name.
 * @returns a function that writes one report synchronously (an asynchronous write would be lost at exit);
 *   it does nothing when the file runs on its own.
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
