import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createWriteStream, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { StartError } from '../setup/start-error.ts'
import { readLogLine, warningLevel } from './log-line.ts'

const readyLimitMs = 60_000
const stopLimitMs = 15_000
/** A service that dies so many times in a row without having been ready will not get better. */
const deathsBeforeReady = 3
const firstPauseMs = 100
const longestPauseMs = 10_000
/** A service that stayed up so long is sound: its next restart need not wait. */
const soundAfterMs = 30_000
const lastWordsLines = 15
const stackFrame = /^\s+at /

export type ServiceProcess = ReturnType<typeof startServiceProcess>

/**
 * Keeps one service running as a child process: waits until it says that it is ready, starts it again when it
 * dies, and stops it. What it writes goes to `{name}.log`; warnings and errors are shown as well.
 * @param options.entry the service's main module
 * @param options.readyEvent the `event` of the log line with which it says that it is ready
 * @param options.environment all of the child's environment
 * @param options.onReady gets the `port` of that line, if it has one; called again after each restart
 * @param options.onGone called when a service that was ready is gone
 * @param options.verbose shows every line rather than warnings and errors only
 * @returns `ready`, which rejects with StartError when the service never gets ready; `failed`, which
 *   rejects the same way at any later time; and `stop()`
 */
export function startServiceProcess(options: {
  name: string
  entry: string
  environment: NodeJS.ProcessEnv
  readyEvent: string
  logDirectory: string
  say: (line: string) => void
  verbose?: boolean
  stopLimitMs?: number
  onReady?: (port: number | undefined) => void
  onGone?: () => void
}) {
  const { name, say } = options
  mkdirSync(options.logDirectory, { recursive: true })
  const log = createWriteStream(join(options.logDirectory, `${name}.log`), { flags: 'a' })
  const stopping = new AbortController()
  const firstReady = Promise.withResolvers<void>()
  let child: ChildProcess | undefined

  /** Runs the service once. @returns how it ended and whether it had been ready */
  const runOnce = async () => {
    const running = spawn(process.execPath, ['--import', tether, options.entry], {
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      env: options.environment,
    })
    child = running
    const lastWords: string[] = []
    let readyAt: number | undefined
    const giveUpWaiting = setTimeout(() => {
      lastWords.push(`not ready within ${readyLimitMs / 1000} s`)
      signalGroup(running, 'SIGKILL')
    }, readyLimitMs)

    const take = (line: string, fromErrors: boolean) => {
      log.write(`${line}\n`)
      const { level, event, port, text } = readLogLine(line)
      if (level >= warningLevel || options.verbose) say(`${name} ${text}`)
      if (level >= warningLevel || (fromErrors && !stackFrame.test(text))) lastWords.push(text)
      if (lastWords.length > lastWordsLines) lastWords.shift()
      if (event !== options.readyEvent || readyAt !== undefined || stopping.signal.aborted) return
      readyAt = performance.now()
      clearTimeout(giveUpWaiting)
      options.onReady?.(port)
      firstReady.resolve()
    }
    const { stdout, stderr } = running
    if (!stdout || !stderr) throw new Error('A service has no output.')
    createInterface({ input: stdout }).on('line', (line) => take(line, false))
    createInterface({ input: stderr }).on('line', (line) => take(line, true))

    // Whatever the service started itself goes with it, and lets go of its output.
    running.once('exit', () => signalGroup(running, 'SIGKILL'))
    // A supervisor that ends without having stopped its services takes them with it.
    const killNow = () => signalGroup(running, 'SIGKILL')
    process.on('exit', killNow)
    const how = await new Promise<string>((resolve, reject) => {
      running.once('error', reject)
      running.once('close', (code, signal) => resolve(signal ?? `exit code ${code}`))
    })
    process.off('exit', killNow)
    clearTimeout(giveUpWaiting)
    if (readyAt !== undefined) options.onGone?.()
    const upMs = readyAt === undefined ? undefined : performance.now() - readyAt
    return { how, upMs, lastWords }
  }

  const keepRunning = async () => {
    let deaths = 0
    let pauseMs = firstPauseMs
    while (!stopping.signal.aborted) {
      const { how, upMs, lastWords } = await runOnce()
      if (stopping.signal.aborted) return
      deaths = upMs === undefined ? deaths + 1 : 0
      if (deaths >= deathsBeforeReady) {
        const words = lastWords.join('\n') || 'It said nothing.'
        throw new StartError(`${name} does not start; it ended ${deaths} times (${how}).\n${words}`)
      }
      if (upMs !== undefined) say(`${name} ended (${how}); starting it again.`)
      pauseMs =
        upMs !== undefined && upMs > soundAfterMs ? firstPauseMs : Math.min(pauseMs * 2, longestPauseMs)
      await delay(pauseMs, undefined, { signal: stopping.signal }).catch(() => {})
    }
  }

  const ended = keepRunning()
  const failed = ended.then(() => new Promise<never>(() => {}))
  // Both are for whoever waits; nobody waiting is not an error of its own.
  failed.catch((error) => firstReady.reject(error))
  firstReady.promise.catch(() => {})

  return {
    name,
    ready: firstReady.promise,
    failed,
    /** The process that runs now, for tests that kill it. */
    pid: () => child?.pid,
    async stop() {
      stopping.abort()
      const running = child
      if (running && running.exitCode === null && running.signalCode === null) {
        running.kill('SIGTERM')
        const limitMs = options.stopLimitMs ?? stopLimitMs
        const killer = setTimeout(() => {
          say(`${name} did not stop within ${limitMs / 1000} s and was killed.`)
          signalGroup(running, 'SIGKILL')
        }, limitMs)
        await ended.catch(() => {})
        clearTimeout(killer)
      }
      await ended.catch(() => {})
      log.end()
      await once(log, 'close')
    },
  }
}

const tether = new URL('exit-with-parent.ts', import.meta.url).href

/** Signals a child and all that it started; a group that is gone already is what was wanted. */
function signalGroup(leader: ChildProcess, signal: NodeJS.Signals) {
  if (leader.pid === undefined) return
  try {
    process.kill(-leader.pid, signal)
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error
  }
}
