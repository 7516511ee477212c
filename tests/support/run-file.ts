import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { Readable } from 'node:stream'
import { endOfFileOutput, reportDescriptorVariable, type TestReport } from './test-report.ts'

export type FileResult = {
  path: string
  passed: number
  skipped: { name: string; reason: string }[]
  /** One line per failed test and per failure of the file as a whole. */
  failures: string[]
  /** What the file wrote to stdout and stderr. */
  output: string
  /** `null` if a signal ended the file's process, or if further files of the same process ran after it. */
  exitCode: number | null
  durationMs: number
  /** CPU time of the file's process and of what it started and waited for. 0 if the process was killed. */
  cpuMs: number
}

const reportDescriptor = 3

/**
 * Flags of a file's process; what it starts has its own. Most files run for some seconds, in which a young generation of 16 MiB and
 * more only grows: to touch new memory costs more than to collect garbage, a twelfth of the CPU time.
 */
const nodeFlags = ['--conditions=@millrace/source', '--max-semi-space-size=8']

type RunOptions = {
  environment: NodeJS.ProcessEnv
  limitMs: number
  signal: AbortSignal
  cwd?: string
  untilFailure?: boolean
}

/** Runs one test file in a process of its own. See runTestFiles. */
export async function runTestFile(path: string, options: RunOptions): Promise<FileResult> {
  const [result] = await runTestFiles([path], options)
  if (!result) throw new Error(`${path} has no result.`)
  return result
}

/**
 * Runs test files one after another in one process, which is the leader of its own process group, and kills the whole
 * group when the process ends.
 *
 * @param paths at least one
 * @param options.limitMs time after which the group is killed, for each file, in milliseconds
 * @param options.signal kills the group, too
 * @param options.cwd the working directory; default: this process's own
 * @param options.untilFailure whether the group is killed at the first failure; default: false
 * @returns what each file reported, in the order of `paths`. A file in which the process ended is the last one: the files
 * after it did not run. A file that does not report its end, or ends the process with another code than 0, has an
 * additional failure.
 */
export async function runTestFiles(paths: string[], options: RunOptions): Promise<FileResult[]> {
  const child = spawn(process.execPath, [...nodeFlags, ...paths], {
    detached: true,
    // Standard output, standard error, and the pipe for reports.
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
    ...(options.cwd !== undefined && { cwd: options.cwd }),
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
  const startTimer = () =>
    setTimeout(() => kill(`ran longer than ${options.limitMs / 1000} s`), options.limitMs)
  let timer = startTimer()
  const onAbort = () => kill('was interrupted')
  options.signal.addEventListener('abort', onAbort)
  // A process that a test leaves behind outlives the group's leader and would keep the pipes open.
  child.once('exit', killGroup)

  const [output, errors, reportPipe] = child.stdio.slice(1)
  if (!(output instanceof Readable && errors instanceof Readable && reportPipe instanceof Readable))
    throw new Error('A pipe to the file is missing.')
  const outputs = paths.map(() => '')
  for (const stream of [output, errors]) {
    let file = 0
    stream.setEncoding('utf8').on('data', (text: string) => {
      const [first = '', ...others] = text.split(endOfFileOutput)
      outputs[file] += first
      for (const other of others) {
        // The last file keeps what else there is: a test may write the separator itself.
        file = Math.min(file + 1, paths.length - 1)
        outputs[file] += other
      }
    })
  }

  const results: FileResult[] = []
  let reports: TestReport[] = []
  let startedAt = performance.now()
  /** CPU time of the process until the end of the last file. */
  let cpuMs = 0
  const endFile = (exitCode: number | null, end: (counts: Counts) => void) => {
    const counts = countReports(reports)
    end(counts)
    const durationMs = performance.now() - startedAt
    const cpuMsBefore = cpuMs
    for (const report of reports) if ('cpuMs' in report) cpuMs = report.cpuMs
    results.push({
      path: paths[results.length] ?? '',
      output: '',
      exitCode,
      durationMs,
      cpuMs: cpuMs - cpuMsBefore,
      ...counts,
    })
    reports = []
    startedAt = performance.now()
  }
  createInterface({ input: reportPipe }).on('line', (line) => {
    const report: TestReport = JSON.parse(line)
    reports.push(report)
    if (report.kind !== 'next') {
      const isFailure = report.kind === 'failure' || (report.kind === 'test' && report.outcome === 'failed')
      if (options.untilFailure && isFailure) killGroup()
      return
    }
    clearTimeout(timer)
    timer = startTimer()
    endFile(null, failIfEmpty)
  })
  const { code, signal } = await new Promise<{ code: number | null; signal: NodeJS.Signals | null }>(
    (resolve, reject) => {
      child.once('error', reject)
      child.once('close', (code, signal) => resolve({ code, signal }))
    },
  )
  clearTimeout(timer)
  options.signal.removeEventListener('abort', onAbort)

  const isFinished = reports.some(({ kind }) => kind === 'finished')
  endFile(code, (counts) => {
    const { failures, inTest } = counts
    const hasFailed = failures.length > 0 || results.some((earlier) => earlier.failures.length > 0)
    if (options.untilFailure && hasFailed) return
    if (killReason) failures.push(`the file ${killReason}${inTest}`)
    else if (signal) failures.push(`the file was ended by ${signal}${inTest}`)
    else if (!isFinished)
      failures.push(`the file ended without running the guarded suite (exit code ${code})`)
    else if (code !== 0 && !hasFailed) failures.push(`the file exited with code ${code}`)
    else failIfEmpty(counts)
  })
  return results.map((result, index) => ({ ...result, output: outputs[index] ?? '' }))
}

type Counts = ReturnType<typeof countReports>

/** Counts what one file reported. */
function countReports(reports: TestReport[]) {
  const skipped: FileResult['skipped'] = []
  const failures: string[] = []
  let passed = 0
  let inTest = ''
  for (const report of reports) {
    if (report.kind === 'started') inTest = `, in ${report.suite} › ${report.name}`
    if (report.kind === 'skipped') skipped.push({ name: report.name, reason: report.reason })
    if (report.kind === 'failure') failures.push(report.message)
    if (report.kind !== 'test') continue
    inTest = ''
    if (report.outcome === 'passed') passed += 1
    else failures.push(`${report.suite} › ${report.name}`)
  }
  /** `inTest`: the test that has not ended, as the end of a sentence. */
  return { passed, skipped, failures, inTest }
}

function failIfEmpty({ passed, skipped, failures }: Counts): void {
  if (passed + skipped.length === 0 && failures.length === 0) failures.push('the file ran no test')
}
