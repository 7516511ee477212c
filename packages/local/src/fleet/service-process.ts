import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { wrongSettingsExitCode } from '@millrace/shared/service/read-config-or-exit.ts'
import type { ReadyMessage } from '@millrace/shared/service/report-ready.ts'
import { signalGroup, terminateProcess } from '../setup/process-signals.ts'
import { StartError } from '../setup/start-error.ts'
import { openLogFile } from './log-file.ts'
import { errorLevel, readLogLine, warningLevel } from './log-line.ts'

const readyTimeoutMs = 60_000
const defaultStopTimeoutMs = 15_000
/** A service that exits this many times in a row before it is ready is not started again. */
const maxFailedStarts = 3
const minRestartDelayMs = 100
const maxRestartDelayMs = 10_000
/** A service that was ready for this long is stable: its next restart has the shortest delay. */
const stableAfterMs = 30_000
/** The most lines with errors that are kept of a service. */
const maxErrorLines = 15
/** What Node prints around an uncaught exception: the source line, a mark below it, stack frames, and its own version. */
const aroundException = /^(file:|node:|\s|Node\.js v)|^$/
const exitWithParent = new URL('exit-with-parent.ts', import.meta.url).href

/** How a process ended: its exit code, null after a signal, and the same in words. */
type Exit = { code: number | null; reason: string }

export type ServiceProcess = ReturnType<typeof startServiceProcess>

/**
 * Runs one service as a child process: waits until it is ready, restarts it when it exits, and stops it. The service
 * reports over the IPC channel that it is ready (`report-ready.ts`), because its log depends on LOG_LEVEL. Its output is
 * appended to `{name}.log`; warnings and errors are printed as well.
 *
 * Errors of a service that was never ready are not printed as they come: the last one is part of the StartError. Wrong
 * settings are final at once, since a restart does not help.
 * @param options.entry the service's main module
 * @param options.environment the complete environment of the child process
 * @param options.stopTimeoutMs time between SIGTERM and SIGKILL in ms, 15 s by default
 * @param options.onReady receives the service's port, if it has one; called again after each restart
 * @param options.onExit called when a service that was ready has exited
 * @param options.verbose prints every line instead of warnings and errors only
 * @returns `ready`, which rejects with StartError if the service never becomes ready; `failed`, which rejects
 *   in the same way at any later time; and `stop()`
 */
export function startServiceProcess(options: {
  name: string
  entry: string
  environment: NodeJS.ProcessEnv
  logDirectory: string
  print: (line: string) => void
  verbose?: boolean
  stopTimeoutMs?: number
  onReady?: (port: number | undefined) => void
  onExit?: () => void
}) {
  const { name, print } = options
  mkdirSync(options.logDirectory, { recursive: true })
  const logFile = join(options.logDirectory, `${name}.log`)
  const log = openLogFile({ file: logFile, print })
  const stopping = new AbortController()
  const firstReady = Promise.withResolvers<void>()
  let child: ChildProcess | undefined

  /** Runs the service once. @returns how it exited, for how long it had been ready, and its last errors */
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
      log.write(line)
      const { level, text, sentence } = readLogLine(line)
      const isError = level >= errorLevel || (isStderr && !aroundException.test(line))
      if (isError) errorLines.push(sentence)
      if (errorLines.length > maxErrorLines) errorLines.shift()
      const isWithheld = isError && readyAt === undefined && !options.verbose
      if (options.verbose || (level >= warningLevel && !isWithheld)) print(`${name} ${text}`)
    }
    running.on('message', (message) => {
      if (!isReady(message) || readyAt !== undefined || stopping.signal.aborted) return
      readyAt = performance.now()
      clearTimeout(readyTimer)
      options.onReady?.(message.port)
      firstReady.resolve()
    })
    const { stdout, stderr } = running
    if (!stdout || !stderr) throw new Error('The service process has no output streams.')
    createInterface({ input: stdout }).on('line', (line) => handleLine(line, false))
    createInterface({ input: stderr }).on('line', (line) => handleLine(line, true))

    // Processes that the service started are killed with it, and so release its output streams.
    running.once('exit', () => signalGroup(running, 'SIGKILL'))
    // A supervisor that exits without having stopped its services kills them.
    const killNow = () => signalGroup(running, 'SIGKILL')
    process.on('exit', killNow)
    const exit = await new Promise<Exit>((resolve, reject) => {
      running.once('error', reject)
      running.once('close', (code, signal) => resolve({ code, reason: signal ?? `exit code ${code}` }))
    })
    process.off('exit', killNow)
    clearTimeout(readyTimer)
    if (readyAt !== undefined) options.onExit?.()
    const readyForMs = readyAt === undefined ? undefined : performance.now() - readyAt
    return { exit, readyForMs, errorLines }
  }

  const runWithRestarts = async () => {
    let failedStarts = 0
    let restartDelayMs = minRestartDelayMs
    while (!stopping.signal.aborted) {
      const { exit, readyForMs, errorLines } = await runOnce()
      if (stopping.signal.aborted) return
      failedStarts = readyForMs === undefined ? failedStarts + 1 : 0
      if (readyForMs === undefined && exit.code === wrongSettingsExitCode && errorLines.length > 0) {
        throw new StartError(errorLines.join('\n'), wrongSettingsExitCode)
      }
      if (failedStarts >= maxFailedStarts) {
        const why = errorLines.at(-1)?.replace(/\.$/, '') ?? `it ends with ${exit.reason} and writes no error`
        throw new StartError(`${name} does not start: ${why}. Its log: ${logFile}`)
      }
      if (readyForMs !== undefined) print(`${name} exited (${exit.reason}); restarting it.`)
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
      await log.close()
    },
  }
}

function isReady(message: unknown): message is ReadyMessage {
  return typeof message === 'object' && message !== null && 'event' in message && message.event === 'ready'
}
