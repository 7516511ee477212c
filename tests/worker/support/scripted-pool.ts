import type { DecoderAnswer } from '@millrace/worker/decoders/decoder-messages.ts'
import type { DecoderPool } from '@millrace/worker/decoders/decoder-pool.ts'
import type { DecoderInput, JobEnd, JobLimits } from '@millrace/worker/decoders/decoder-process.ts'

/** What the pool was asked to run. */
export type AskedJob = { input: DecoderInput; limits: JobLimits; fresh: boolean; signal: AbortSignal }

/** What a job does: it may answer, and says how it ends. */
export type ScriptedJob = (
  asked: AskedJob,
  answer: (answer: DecoderAnswer, body?: Buffer) => void,
  readRange: (start: number, end: number) => Promise<Buffer | undefined>,
) => JobEnd | Promise<JobEnd>

/**
 * Makes a pool without processes, whose jobs end as they are told, one after the other.
 * @returns the pool, and what it was asked to run
 */
export function createScriptedPool(...jobs: ScriptedJob[]) {
  const asked: AskedJob[] = []
  const pool: DecoderPool = {
    prepare: async () => undefined,
    busyPids: () => [],
    usage: () => ({ idle: 0, busy: 0, rssBytes: 0, libvipsPeakBytes: 0 }),
    async run(input, { fresh, limits, signal, onAnswer, readRange = async () => undefined }) {
      const job = jobs.shift()
      if (!job) throw new Error('The pool was asked once more than expected.')
      const one = { input, limits, fresh, signal }
      asked.push(one)
      return job(one, (answer, body = Buffer.alloc(0)) => onAnswer(answer, body), readRange)
    },
    close: async () => {},
  }
  return { pool, asked }
}

const usage = (cpuMs: number) => ({ cpuMs, rssBytes: 1 })

/** A job that ends with an answer. */
export function answered(
  last: Extract<JobEnd, { end: 'answered' }>['last'],
  { cpuMs = 10 }: { cpuMs?: number } = {},
): ScriptedJob {
  return () => ({ end: 'answered', last, used: usage(cpuMs) })
}

/** A job whose process ends. */
export function ended(end: 'died' | 'killed', { cpuMs = 10, isOverLimit = false } = {}): ScriptedJob {
  return () => ({ end, reason: `It ${end}.`, errorOutput: 'a text', isOverLimit, used: usage(cpuMs) })
}
