import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { Readable } from 'node:stream'
import { reportDescriptorVariable, type TestReport } from './test-report.ts'

export type FileResult = {
  path: string
  passed: number
  skipped: { name: string; reason: string }[]
  /** One line per failed test and per failure of the file as a whole. */
  failures: string[]
  /** What the file wrote to stdout and stderr. */
  output: string
  /** `null` if a signal ended the file. */
  exitCode: number | null
  durationMs: number
}

const reportDescriptor = 3

/**
 * Runs one test file as the leader of its own process group, and kills the whole group when the file ends.
 * @param options.limitMs time after which the group is killed, in milliseconds
 * @param options.signal kills the group, too
 * @returns what the file reported. A file that does not report its end, or exits with another code than 0, has an
 * additional failure.
 */
export async function runTestFile(
  path: string,
  options: { environment: NodeJS.ProcessEnv; limitMs: number; signal: AbortSignal },
): Promise<FileResult> {
  const startedAt = performance.now()
  const result: FileResult = {
    path,
    passed: 0,
    skipped: [],
    failures: [],
    output: '',
    exitCode: null,
    durationMs: 0,
  }
  const child = spawn(process.execPath, ['--conditions=@millrace/source', path], {
    detached: true,
    // Standard output, standard error, and the pipe for reports.
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
    env: { ...options.environment, [reportDescriptorVariable]: String(reportDescriptor) },
  })
  const killGroup = () => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
    } catch (error) {
      // No such process: the group has already ended.
      if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error
    }
  }
  let killReason = ''
  const kill = (reason: string) => {
    killReason = reason
    killGroup()
  }
  const timer = setTimeout(() => kill(`ran longer than ${options.limitMs / 1000} s`), options.limitMs)
  const onAbort = () => kill('was interrupted')
  options.signal.addEventListener('abort', onAbort)
  // A process that a test leaves behind outlives the group's leader and would keep the pipes open.
  child.once('exit', killGroup)

  const [, output, errors, reportPipe] = child.stdio
  const reports: TestReport[] = []
  if (!output || !errors || !(reportPipe instanceof Readable))
    throw new Error('A pipe to the file is missing.')
  for (const stream of [output, errors]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      result.output += text
    })
  }
  createInterface({ input: reportPipe }).on('line', (line) => reports.push(JSON.parse(line)))
  const { code, signal } = await new Promise<{ code: number | null; signal: NodeJS.Signals | null }>(
    (resolve, reject) => {
      child.once('error', reject)
      child.once('close', (code, signal) => resolve({ code, signal }))
    },
  )
  clearTimeout(timer)
  options.signal.removeEventListener('abort', onAbort)

  result.exitCode = code
  let inTest = ''
  for (const report of reports) {
    if (report.kind === 'started') inTest = `, in ${report.suite} › ${report.name}`
    if (report.kind === 'skipped') result.skipped.push({ name: report.name, reason: report.reason })
    if (report.kind === 'failure') result.failures.push(report.message)
    if (report.kind !== 'test') continue
    inTest = ''
    if (report.outcome === 'passed') result.passed += 1
    else result.failures.push(`${report.suite} › ${report.name}`)
  }
  if (killReason) result.failures.push(`the file ${killReason}${inTest}`)
  else if (signal) result.failures.push(`the file was ended by ${signal}${inTest}`)
  else if (!reports.some(({ kind }) => kind === 'finished')) {
    result.failures.push(`the file ended without running the guarded suite (exit code ${code})`)
  } else if (code !== 0 && result.failures.length === 0) {
    result.failures.push(`the file exited with code ${code}`)
  } else if (result.passed + result.skipped.length === 0 && result.failures.length === 0) {
    result.failures.push('the file ran no test')
  }
  result.durationMs = performance.now() - startedAt
  return result
}
