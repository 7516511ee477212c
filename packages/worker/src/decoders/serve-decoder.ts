import { readSync, writeFileSync, writeSync } from 'node:fs'
import type { DecoderAnswer, DecoderJob } from './decoder-messages.ts'
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
  ) => Promise<void>,
): Promise<void> {
  // The worker died during a job. A busy library call cannot be stopped otherwise, and exiting would wait for it.
  process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'))
  // A terminal sends these to the whole process group. The worker decides when its decoders end.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {})
  volunteerForOutOfMemory()
  const answer = (message: DecoderAnswer, body?: Buffer) => {
    writeBytes(frameStart(message, body?.length))
    if (body) writeBytes(body)
  }
  answer({ type: 'started' })
  for (;;) {
    const head = readBytes(frameHeadBytes)
    if (!head) break
    const { textBytes, bodyBytes } = readFrameHead(head)
    const text = readBytes(textBytes)
    const file = readBytes(bodyBytes)
    if (!text || !file) break
    await render(JSON.parse(text.toString()), file, answer)
  }
  process.disconnect?.()
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
