import { AsyncResource } from 'node:async_hooks'
import { type ChildProcess, spawn } from 'node:child_process'
import { Readable, Writable } from 'node:stream'
import { type DecoderAnswer, type DecoderJob, decoderAnswer, type RangeReply } from './decoder-messages.ts'
import { createFrameReader, frameStart } from './frames.ts'
import { heapFlags } from './heap-flags.ts'
import { type ProcessUsage, readProcessUsage } from './process-usage.ts'
import { answersDescriptor, jobsDescriptor } from './serve-decoder.ts'

/** How often the usage of a busy decoder is compared with its limits, in ms. */
const watchIntervalMs = 50
/** How much of a decoder's error output is kept for the log, in characters. */
const errorOutputLimit = 2_000

/** The limits of one job. CPU and wall time in ms. */
export type JobLimits = { cpuMs: number; wallMs: number; rssBytes: number }

/**
 * The end of a job in a decoder process. `died`: the process crashed or exceeded a limit, and `reason` says how.
 * `killed`: something else killed the process, such as the system when it ran out of memory; not the file's fault.
 *
 * `used`: CPU time of the job, and memory of the process at its end; of a process that ended, as last seen.
 */
export type JobEnd = { used: ProcessUsage | undefined } & (
  | { end: 'answered'; last: Extract<DecoderAnswer, { type: 'rendered' | 'refused' | 'broken' }> }
  | { end: 'died' | 'killed'; reason: string; errorOutput: string; isOverLimit: boolean }
)

export type DecoderInput = DecoderJob & { file: Buffer }

export type JobOptions = {
  limits: JobLimits
  signal: AbortSignal
  /** Receives each answer before the last one, with its body. */
  onAnswer(answer: DecoderAnswer, body: Buffer): void
  /** Reads a range of the file, if the file was not sent. @returns undefined: the decoder may not read it */
  readRange?(start: number, end: number): Promise<Buffer | undefined>
}

/** Signals that the kernel sends to a program for its own fault. `abort()` is how C libraries give up. */
const faultSignals: ReadonlySet<string> = new Set([
  'SIGSEGV',
  'SIGBUS',
  'SIGILL',
  'SIGFPE',
  'SIGABRT',
  'SIGTRAP',
  'SIGSYS',
])

/**
 * Starts a decoder process. It runs one job at a time, so that its memory, its crashes, and the texts of its libraries
 * belong to one job.
 *
 * @param deps.program path of the process's program
 * @param deps.environment its whole environment: no credentials of the worker are in it
 */
export function startDecoderProcess(deps: { program: string; environment: Record<string, string> }) {
  const child = spawn(process.execPath, [...heapFlags, deps.program], {
    // The channel only shows the decoder that its worker died. The last two are jobs and answers (serve-decoder.ts).
    stdio: ['ignore', 'ignore', 'pipe', 'ipc', 'pipe', 'pipe'],
    env: deps.environment,
    // A process group of its own, so that a program which it started ends with it.
    detached: true,
  })
  const { jobs, answers, stderr } = streamsOf(child)
  const exited = Promise.withResolvers<string | number>()
  const started = Promise.withResolvers<'started'>()
  /** `started`, or how the process ended before it had loaded the program. */
  const start = Promise.race([started.promise, exited.promise])
  let running: { onFrame(message: unknown, body: Buffer): void } | undefined
  let isAlive = true
  let errorOutput = ''
  child.once('error', (error) => {
    isAlive = false
    exited.resolve(error.message)
  })
  child.once('exit', kill)
  child.once('close', (code, signal) => {
    isAlive = false
    exited.resolve(signal ?? code ?? 'unknown')
  })
  // A process that dies closes its pipes. Its end is reported by `close`.
  for (const pipe of [jobs, answers, stderr]) pipe.on('error', () => {})
  stderr.setEncoding('utf8').on('data', (text: string) => {
    errorOutput = (errorOutput + text).slice(-errorOutputLimit)
  })
  const readFrames = createFrameReader(({ message, body }) => {
    if (running) running.onFrame(message, body)
    else if (decoderAnswer.Check(message) && message.type === 'started') started.resolve('started')
    else kill()
  })
  answers.on('data', (chunk: Buffer) => {
    try {
      readFrames(chunk)
    } catch {
      kill()
    }
  })

  /** Ends the process and its children. */
  function kill(): void {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
    } catch {
      // All of them have ended.
    }
  }

  function usage(): ProcessUsage | undefined {
    return child.pid === undefined ? undefined : readProcessUsage(child.pid)
  }

  return {
    pid: child.pid,
    isAlive: () => isAlive,
    usage,

    /**
     * Waits until the program has been loaded.
     * @throws Error with its output if it ends instead
     */
    async whenStarted(): Promise<void> {
      const outcome = await start
      if (outcome === 'started') return
      throw new Error(`A decoder does not start: ended with ${outcome}. ${errorOutput}`)
    },

    /**
     * Runs one job. The caller waits for its end before the next one.
     *
     * @throws the signal's reason if it aborts, and what `readRange` throws; the process is killed
     */
    async run(
      { file, ...job }: DecoderInput,
      { limits, signal, onAnswer, readRange }: JobOptions,
    ): Promise<JobEnd> {
      signal.throwIfAborted()
      signal.addEventListener('abort', kill, { once: true })
      // Loading the program belongs to no job.
      const outcome = await start
      signal.throwIfAborted()
      if (outcome !== 'started') {
        const reason = `It ended with ${outcome}.`
        return { end: 'killed', reason, errorOutput, isOverLimit: false, used: undefined }
      }
      errorOutput = ''
      const answered = Promise.withResolvers<Extract<JobEnd, { end: 'answered' }>['last']>()
      let exceeded: string | undefined
      let isOverLimit = false
      const stopFor = (reason: string) => {
        exceeded ??= reason
        kill()
      }
      const stopOverLimit = (reason: string) => {
        isOverLimit ||= exceeded === undefined
        stopFor(reason)
      }
      let isReading = false
      let failure: { error: unknown } | undefined
      function sendRange(range: Buffer | undefined): void {
        isReading = false
        const reply: RangeReply = { isRefused: range === undefined }
        jobs.write(frameStart(reply, range?.length))
        if (range) jobs.write(range)
      }
      function fail(error: unknown): void {
        failure = { error }
        kill()
      }
      const onFrame = (message: unknown, body: Buffer) => {
        if (!decoderAnswer.Check(message)) return stopFor('It sent an unknown answer.')
        switch (message.type) {
          case 'started':
            return stopFor('It sent an unknown answer.')
          case 'inspected':
          case 'variant':
          case 'picture':
            return onAnswer(message, body)
          case 'range':
            if (!readRange || isReading) return stopFor('It sent an unknown answer.')
            isReading = true
            return void readRange(message.start, message.end).then(sendRange, fail)
          default:
            // A late range would be read as the next job.
            if (isReading) return stopFor('It sent an unknown answer.')
            answered.resolve(message)
        }
      }
      // The pipe has the context in which the process was started: spans would belong to the trace of another job.
      running = { onFrame: AsyncResource.bind(onFrame) }
      const startCpuMs = usage()?.cpuMs ?? 0
      let used: ProcessUsage | undefined
      const readUsed = () => {
        const now = usage()
        if (now) used = { ...now, cpuMs: now.cpuMs - startCpuMs }
        return used
      }
      const wall = setTimeout(() => stopOverLimit(`It took longer than ${limits.wallMs} ms.`), limits.wallMs)
      const watch = setInterval(() => {
        const { rssBytes = 0, cpuMs = 0 } = readUsed() ?? {}
        if (rssBytes > limits.rssBytes) stopOverLimit(`It used more than ${limits.rssBytes} bytes of memory.`)
        if (cpuMs > limits.cpuMs) stopOverLimit(`It used more than ${limits.cpuMs} ms of CPU.`)
      }, watchIntervalMs)
      try {
        jobs.write(frameStart(job, file.length))
        jobs.write(file)
        const end = await Promise.race([answered.promise, exited.promise])
        signal.throwIfAborted()
        if (failure) throw failure.error
        if (typeof end === 'object' && exceeded === undefined) {
          return { end: 'answered', last: end, used: readUsed() }
        }
        // It may have answered while it was being killed. Then it must not get another job.
        const exit = await exited.promise
        const isFault = exceeded !== undefined || typeof exit === 'number' || faultSignals.has(exit)
        return {
          end: isFault ? 'died' : 'killed',
          reason: exceeded ?? `It ended with ${exit}.`,
          errorOutput,
          used,
          isOverLimit,
        }
      } finally {
        running = undefined
        clearTimeout(wall)
        clearInterval(watch)
        signal.removeEventListener('abort', kill)
      }
    },

    /** Resolves with the exit code or the signal when the process has ended. */
    exited: exited.promise,
    kill,
  }
}

export type DecoderProcess = ReturnType<typeof startDecoderProcess>

function streamsOf({ stderr, stdio }: ChildProcess): { jobs: Writable; answers: Readable; stderr: Readable } {
  // Its type ends at the fifth.
  const pipes: readonly unknown[] = stdio
  const [jobs, answers] = [pipes[jobsDescriptor], pipes[answersDescriptor]]
  if (!(jobs instanceof Writable) || !(answers instanceof Readable) || !stderr) {
    throw new Error('The decoder process has no pipes.')
  }
  return { jobs, answers, stderr }
}
