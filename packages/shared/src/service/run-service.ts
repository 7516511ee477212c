import type { Logger } from 'pino'
import { withDeadline } from './deadline.ts'

/** The local supervisor kills a service that is not ready within 60 s, without a reason in its log. In ms. */
const defaultStartDeadlineMs = 45_000
/** How long one phase may take after a crash or a failed start, in ms: the process may be in any state. */
const defaultFailureDeadlineMs = 5_000
/**
 * Signals within this time after the first one are the same request, in ms: on Ctrl-C a process gets SIGINT from the
 * terminal and again from an npm that started it.
 */
const defaultRepeatedSignalMs = 1_000

/** One step of the shutdown. */
export type ClosePhase = {
  /** Names the step in log lines. */
  name: string
  /** How long it may take, in ms. */
  deadlineMs: number
  /**
   * @param limits.deadlineMs how long it may take now, in ms: less than usual after a failure
   * @param limits.afterFailure whether the process crashed or did not start
   */
  close(limits: { deadlineMs: number; afterFailure: boolean }): unknown
}

/** What a service can do with its process. */
export type Service = {
  /** Aborted when the shutdown begins. */
  stopping: AbortSignal
  /** Adds a step to the shutdown. The steps run in reverse order, one after the other. */
  addPhase(phase: ClosePhase): void
  /** Begins the shutdown, unless it has begun. @param why the reason, for the log */
  stop(why: string): void
}

/**
 * Runs a service in this process, from its start to `process.exit`.
 *
 * SIGTERM, SIGINT and `stop()` close the phases in reverse order. A phase that fails or exceeds its deadline is logged
 * by its name, and the next ones still run. An uncaught exception, an unhandled rejection and a failed start are logged
 * as fatal and close the phases as well, each within `failureDeadlineMs`.
 *
 * The exit code is 0 after a stop in which every phase succeeded, else 1. A second signal, unless it comes within
 * `repeatedSignalMs` of the first one, ends the process at once with 1.
 *
 * @param options.log writes each line at once: the process exits right after the last one
 * @param options.start opens what the service needs and adds a phase for each thing to close; resolves when ready
 * @param options.startDeadlineMs how long the start may take, in ms
 * @returns once the service has started; never rejects
 */
export async function runService(options: {
  log: Logger
  start(service: Service): Promise<void>
  startDeadlineMs?: number
  failureDeadlineMs?: number
  repeatedSignalMs?: number
}): Promise<void> {
  const { log, start } = options
  const { startDeadlineMs = defaultStartDeadlineMs } = options
  const { failureDeadlineMs = defaultFailureDeadlineMs } = options
  const { repeatedSignalMs = defaultRepeatedSignalMs } = options
  const phases: ClosePhase[] = []
  const stopping = new AbortController()
  /** What the process does, for the log. */
  let step = 'start'
  let crashed = false
  let exitCode = 0
  let firstSignalAtMs: number | undefined
  /** Ends the wait for the phase that is being closed. */
  let abandonPhase: ((reason: Error) => void) | undefined

  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, onSignal)
  // Gets unhandled rejections as well: Node throws them (`--unhandled-rejections=throw`, the default).
  process.on('uncaughtException', (error, origin) => {
    log.fatal({ err: error, event: 'crashed', origin, step }, 'crashed')
    fail(origin)
  })

  try {
    await withDeadline('The start', startDeadlineMs, () =>
      start({ stopping: stopping.signal, addPhase: (phase) => void phases.push(phase), stop }),
    )
    if (!stopping.signal.aborted) step = 'run'
  } catch (error) {
    // A shutdown during the start closes what the start waits for.
    if (stopping.signal.aborted) return
    log.fatal({ err: error, event: 'start-failed' }, 'start failed')
    fail('start-failed')
  }

  function onSignal(signal: NodeJS.Signals): void {
    const nowMs = performance.now()
    firstSignalAtMs ??= nowMs
    if (nowMs - firstSignalAtMs > repeatedSignalMs) {
      log.error({ event: 'close-interrupted', signal, step }, 'second signal: exits at once')
      process.exit(1)
    }
    stop(signal)
  }

  function fail(why: string): void {
    exitCode = 1
    if (!crashed && abandonPhase) {
      const abandon = abandonPhase
      const late = new Error(`The process crashed, and closing did not end within ${failureDeadlineMs} ms.`)
      setTimeout(() => abandon(late), failureDeadlineMs)
    }
    crashed = true
    stop(why)
  }

  function stop(why: string): void {
    if (stopping.signal.aborted) return
    log.info({ event: 'closing', why }, 'closing')
    stopping.abort()
    void close()
  }

  /** Does not leave the exit to the event loop: a pending connection or an encoder would keep it running. */
  async function close(): Promise<void> {
    // Closes phases that are added meanwhile as well, since the start may still be running.
    for (let phase = phases.pop(); phase; phase = phases.pop()) await closePhase(phase)
    log.info({ event: 'closed', exitCode }, 'closed')
    process.exit(exitCode)
  }

  async function closePhase(phase: ClosePhase): Promise<void> {
    step = `close ${phase.name}`
    const deadlineMs = crashed ? Math.min(phase.deadlineMs, failureDeadlineMs) : phase.deadlineMs
    const abandoned = Promise.withResolvers<never>()
    abandonPhase = abandoned.reject
    try {
      await withDeadline('Closing', deadlineMs, () =>
        Promise.race([phase.close({ deadlineMs, afterFailure: crashed }), abandoned.promise]),
      )
    } catch (error) {
      exitCode = 1
      log.error({ err: error, event: 'close-failed', phase: phase.name }, `closing failed: ${phase.name}`)
    }
  }
}
