import { readSync, writeFileSync, writeSync } from 'node:fs'
import { flushCompileCache } from 'node:module'
import { RangeRefusedError, type ReadFileRange } from '../media/file-ranges.ts'
import type { DecoderAnswer, DecoderJob, RangeReply } from './decoder-messages.ts'
import { frameHeadBytes, frameStart, readFrameHead } from './frames.ts'

/**
 * The file descriptors of jobs and answers. Not standard input and output: sharp's loading makes those non-blocking, and
 * a library may print.
 */
export const jobsDescriptor = 4
export const answersDescriptor = 5

/**
 * Runs jobs one after the other and answers them, until their pipe ends.
 *
 * Between jobs the process blocks in a read, which delivers a file directly into one buffer, without a chunk that the
 * garbage collector would have to free. During a job the event loop runs, because rendering happens in libuv's threads.
 *
 * @param render runs one job; what it throws ends the process
 */
export async function serveDecoder(
  render: (
    job: DecoderJob,
    file: Buffer,
    answer: (answer: DecoderAnswer, body?: Buffer) => void,
    readRange: ReadFileRange,
  ) => Promise<void>,
): Promise<void> {
  // The worker died during a job. A busy library call cannot be stopped otherwise, and exiting would wait for it.
  process.on('disconnect', killGroup)
  // The worker decides when its decoders end.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {})
  volunteerForOutOfMemory()
  const answer = (message: DecoderAnswer, body?: Buffer) => {
    writeBytes(frameStart(message, body?.length))
    if (body) writeBytes(body)
  }
  /** The process waits for the worker. A file is read in few pieces, so there is nothing else to do meanwhile. */
  const readRange: ReadFileRange = (start, end) => {
    answer({ type: 'range', start, end })
    const reply = readFrame()
    // The worker died.
    if (!reply) return killGroup()
    const { isRefused }: RangeReply = JSON.parse(reply.text)
    if (isRefused) throw new RangeRefusedError(`${start} to ${end}`)
    return reply.body
  }
  const readJob = () => {
    // Node writes the cache of compiled modules when a process exits, but decoders are killed. It takes 5 µs if nothing new has been compiled.
    flushCompileCache()
    return readFrame()
  }
  answer({ type: 'started' })
  for (let job = readJob(); job; job = readJob()) {
    await render(JSON.parse(job.text), job.body, answer, readRange)
  }
  process.disconnect?.()
}

/** Ends this process and ffmpeg, if that runs: a decoder leads a process group of its own. */
function killGroup(): never {
  process.kill(-process.pid, 'SIGKILL')
  throw new Error('The process was killed.')
}

/** @returns undefined if the input ended before */
function readFrame(): { text: string; body: Buffer } | undefined {
  const head = readBytes(frameHeadBytes)
  if (!head) return undefined
  const { textBytes, bodyBytes } = readFrameHead(head)
  const text = readBytes(textBytes)
  const body = readBytes(bodyBytes)
  return text && body && { text: text.toString(), body }
}

/** If the machine runs out of memory, Linux ends a decoder and not the worker (proc_pid_oom_score_adj(5)). */
function volunteerForOutOfMemory(): void {
  try {
    writeFileSync('/proc/self/oom_score_adj', '1000')
  } catch {
    // Other systems have no such file.
  }
}

/** @returns undefined if the input ended before */
function readBytes(size: number): Buffer | undefined {
  const bytes = Buffer.allocUnsafeSlow(size)
  let filled = 0
  while (filled < size) {
    const count = readSync(jobsDescriptor, bytes, filled, size - filled, null)
    if (count === 0) return undefined
    filled += count
  }
  return bytes
}

function writeBytes(bytes: Buffer): void {
  let written = 0
  while (written < bytes.length) written += writeSync(answersDescriptor, bytes, written)
}
