import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createWriteStream, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { signalGroup, terminateProcess } from '../setup/process-signals.ts'
import { StartError } from '../setup/start-error.ts'
import { readLogLine, warningLevel } from './log-line.ts'

const readyTimeoutMs = 60_000
const defaultStopTimeoutMs = 15_000
/** A service that exits this many times in a row before it is ready is not started again. */
const maxFailedStarts = 3
const minRestartDelayMs = 100
const maxRestartDelayMs = 10_000
/** A service that was ready for this long is stable: its next restart has the shortest delay. */
const stableAfterMs = 30_000
/** How many lines of a service's output an error message contains. */
const maxErrorLines = 15
const stackFrame = /^\s+at /
const exitWithParent = new URL('exit-with-parent.ts', import.meta.url).href

export type ServiceProcess = ReturnType<typeof startServiceProcess>

/**
 * Runs one service as a child process: waits until it is ready, restarts it when it exits, and stops it. Its
 * output is appended to `{name}.log`; warnings and errors are printed as well.
 * @param options.entry the service's main module
 * @param options.readyEvent the `event` of the log line that reports that the service is ready
 * @param options.environment the complete environment of the child process
 * @param options.stopTimeoutMs time between SIGTERM and SIGKILL in ms, 15 s by default
 * @param options.onReady receives the `port` of that log line, if it has one; called again after each restart
 * @param options.onExit called when a service that was ready has exited
 * @param options.verbose prints every line instead of warnings and errors only
 * @returns `ready`, which rejects with StartError if the service never becomes ready; `failed`, which rejects
 *   in the same way at any later time; and `stop()`
 */
export function startServiceProcess(options: {
  name: string
  entry: string
  environment: NodeJS.ProcessEnv
  readyEvent: string
  logDirectory: string
  print: (line: string) => void
  verbose?: boolean
  stopTimeoutMs?: number
  onReady?: (port: number | undefined) => void
  onExit?: () => void
}) {
  const { name, print } = options
  mkdirSync(options.logDirectory, { recursive: true })
  const log = createWriteStream(join(options.logDirectory, `${name}.log`), { flags: 'a' })
  const stopping = new AbortController()
  const firstReady = Promise.withResolvers<void>()
  let child: ChildProcess | undefined

  /** Runs the service once. @returns why it exited, for how long it had been ready, and its last errors */
  const runOnce = async () => {
    const running = spawn(process.execPath, ['--import', exitWithParent, options.entry], {
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      env: options.environment,
    })
    child = running
    const errorLines: string[] = []
    let readyAt: number | undefined
    const readyTimer = setTimeout(() => {
      errorLines.push(`not ready within ${readyTimeoutMs / 1000} s`)
      signalGroup(running, 'SIGKILL')
    }, readyTimeoutMs)

    const handleLine = (line: string, isStderr: boolean) => {
      log.write(`${line}\n`)
      const { level, event, port, text } = readLogLine(line)
      if (level >= warningLevel || options.verbose) print(`${name} ${text}`)
      if (level >= warningLevel || (isStderr && !stackFrame.test(text))) errorLines.push(text)
      if (errorLines.length > maxErrorLines) errorLines.shift()
      if (event !== options.readyEvent || readyAt !== undefined || stopping.signal.aborted) return
      readyAt = performance.now()
      clearTimeout(readyTimer)
      options.onReady?.(port)
      firstReady.resolve()
    }
    const { stdout, stderr } = running
    if (!stdout || !stderr) throw new Error('The service process has no output streams.')
    createInterface({ input: stdout }).on('line', (line) => handleLine(line, false))
    createInterface({ input: stderr }).on('line', (line) => handleLine(line, true))

    // Processes that the service started are killed with it, and so release its output streams.
    running.once('exit', () => signalGroup(running, 'SIGKILL'))
    // A supervisor that exits without having stopped its services kills them.
    const killNow = () => signalGroup(running, 'SIGKILL')
    process.on('exit', killNow)
    const exitReason = await new Promise<string>((resolve, reject) => {
      running.once('error', reject)
      running.once('close', (code, signal) => resolve(signal ?? `exit code ${code}`))
    })
    process.off('exit', killNow)
    clearTimeout(readyTimer)
    if (readyAt !== undefined) options.onExit?.()
    const readyForMs = readyAt === undefined ? undefined : performance.now() - readyAt
    return { exitReason, readyForMs, errorLines }
  }

  const runWithRestarts = async () => {
    let failedStarts = 0
    let restartDelayMs = minRestartDelayMs
    while (!stopping.signal.aborted) {
      const { exitReason, readyForMs, errorLines } = await runOnce()
      if (stopping.signal.aborted) return
      failedStarts = readyForMs === undefined ? failedStarts + 1 : 0
      if (failedStarts >= maxFailedStarts) {
        const output = errorLines.join('\n') || 'It wrote no errors.'
        throw new StartError(
          `${name} does not start: it exited ${failedStarts} times (${exitReason}).\n${output}`,
        )
      }
      if (readyForMs !== undefined) print(`${name} exited (${exitReason}); restarting it.`)
      restartDelayMs =
        readyForMs !== undefined && readyForMs > stableAfterMs
          ? minRestartDelayMs
          : Math.min(restartDelayMs * 2, maxRestartDelayMs)
      await delay(restartDelayMs, undefined, { signal: stopping.signal }).catch(() => {})
    }
  }

  const ended = runWithRestarts()
  const failed = ended.then(() => new Promise<never>(() => {}))
  // Callers may ignore these promises: without a handler, Node would report an unhandled rejection.
  failed.catch((error) => firstReady.reject(error))
  firstReady.promise.catch(() => {})

  return {
    name,
    ready: firstReady.promise,
    failed,
    /** The id of the current process, for tests that kill it. */
    pid: () => child?.pid,
    async stop() {
      stopping.abort()
      const running = child
      if (running && running.exitCode === null && running.signalCode === null) {
        if (running.pid !== undefined) terminateProcess(running.pid)
        const stopTimeoutMs = options.stopTimeoutMs ?? defaultStopTimeoutMs
        const killTimer = setTimeout(() => {
          print(`${name} did not stop within ${stopTimeoutMs / 1000} s and was killed.`)
          signalGroup(running, 'SIGKILL')
        }, stopTimeoutMs)
        await ended.catch(() => {})
        clearTimeout(killTimer)
      }
      await ended.catch(() => {})
      log.end()
      await once(log, 'close')
    },
  }
}
