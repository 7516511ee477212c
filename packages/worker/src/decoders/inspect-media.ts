import type { Preset } from '@millrace/shared/presets/preset.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import type { Findings } from '@millrace/shared/uploads/upload.ts'
import { createRangeBudget } from '../media/file-ranges.ts'
import type { Admission } from './admission.ts'
import { emptyDecoderBytes } from './decode-cost.ts'
import type { DecoderAnswer } from './decoder-messages.ts'
import type { DecoderPool } from './decoder-pool.ts'
import type { JobEnd, JobLimits } from './decoder-process.ts'

const mebibyte = 1024 ** 2

/**
 * The CPU time of one attempt grows with the file, since its index does: 3 s, and 1 s for each 64 MiB, at most 10 s. Small
 * files take a tenth of a second, in a new process half a second; a video of ten hours with 60 frames a second, whose index
 * has 52 MB, takes 1.4 s. A hostile one takes all of it: some sizes in an index make the parser count to billions.
 */
function cpuLimitMs(size: number): number {
  return Math.min(3_000 + (size / (64 * mebibyte)) * 1_000, 10_000)
}

/** S3 answers 500 requests within a minute. */
const maxWallMs = 60_000

/**
 * Estimates the memory of a decoder that examines a file, in bytes. The index takes most of it: 12 times its size, 600 MiB
 * for the ten hours above. It grows with the file, of which it is a small part.
 */
function estimateMediaCost(size: number): number {
  return emptyDecoderBytes + Math.min(Math.max(size / 4, 64 * mebibyte), 384 * mebibyte)
}

/** A video or recording whose bytes are in S3. */
export type MediaFile = {
  kind: string
  /** In bytes. */
  size: number
  preset: Preset
  /** Reads a range of it, from `start` to before `end`. */
  readRange(start: number, end: number): Promise<Buffer>
}

/** What was found. `picture` is a frame or a cover, not decoded yet. */
export type InspectedMedia = {
  findings: Findings
  picture?: { from: 'frame' | 'cover'; bytes: Buffer }
  /** CPU time of the last process, in ms, as far as the system tells it. */
  cpuMs?: number
  /** Versions of the libraries that read the file, by name. */
  tools?: Record<string, string>
}

/**
 * Examines video and audio in decoder processes. A decoder asks for the ranges of the file that it needs, so it gets neither
 * the whole file nor credentials for it.
 *
 * If a process crashes with a file, the file is tried once more in a new process. If that crashes too, or a limit was
 * exceeded, the file keeps what was found until then, and a warning. It is not decoded here, so it is no reason to reject it.
 *
 * @param deps.memory admits files by the memory of their decoders, in bytes
 * @param deps.processes admits as many files as there are decoders
 * @param deps.memoryBytes the capacity of `memory`
 * @param deps.keptBytes how much memory a decoder may keep from earlier files
 * @param deps.limits of CPU and wall time of any job, in ms
 * @param deps.ffmpeg path of the program that decodes frames; undefined: no frame is taken
 */
export function createMediaInspector(deps: {
  pool: DecoderPool
  memory: Admission
  processes: Admission
  memoryBytes: number
  keptBytes: number
  limits: { cpuMs: number; wallMs: number }
  ffmpeg?: string | undefined
}) {
  const { pool, memory, processes, memoryBytes, keptBytes, ffmpeg } = deps

  /**
   * @param signal aborts the work; the decoder is killed
   * @throws AppError `processing_failed` if something else killed the decoder, and what `readRange` throws
   */
  return async function inspectMedia(file: MediaFile, signal: AbortSignal): Promise<InspectedMedia> {
    const cost = Math.min(estimateMediaCost(file.size), memoryBytes)
    const limits = {
      cpuMs: Math.min(deps.limits.cpuMs, cpuLimitMs(file.size)),
      wallMs: Math.min(deps.limits.wallMs, maxWallMs),
      // Half as much again, as for images.
      rssBytes: keptBytes + 1.5 * cost,
    }
    const options = { signal, limits }
    const releaseMemory = await memory.acquire({ cost, isLarge: false }, signal)
    try {
      const releaseProcess = await processes.acquire({ cost: 1, isLarge: false }, signal)
      try {
        const first = await inspectOnce(file, { ...options, fresh: false })
        // A limit does not depend on the age of the process.
        if (first.end.end !== 'died' || first.end.isOverLimit) return resultOf(first)
        return resultOf(await inspectOnce(file, { ...options, fresh: true }))
      } finally {
        releaseProcess()
      }
    } finally {
      releaseMemory()
    }
  }

  async function inspectOnce(
    { kind, size, preset, readRange }: MediaFile,
    options: { fresh: boolean; limits: JobLimits; signal: AbortSignal },
  ): Promise<{ end: JobEnd; found: InspectedMedia }> {
    const found: InspectedMedia = { findings: {} }
    const mayRead = createRangeBudget(size)
    const end = await pool.run(
      { kind, preset, size, maxPixels: 0, file: Buffer.alloc(0), ...(ffmpeg !== undefined && { ffmpeg }) },
      {
        ...options,
        onAnswer: (answer, body) => addAnswer(found, answer, body),
        readRange: async (start, rangeEnd) =>
          mayRead(start, rangeEnd) ? readRange(start, rangeEnd) : undefined,
      },
    )
    if (end.used) found.cpuMs = end.used.cpuMs
    if (end.end === 'answered' && end.last.type === 'rendered' && end.last.tools) found.tools = end.last.tools
    return { end, found }
  }
}

export type InspectMedia = ReturnType<typeof createMediaInspector>

function addAnswer(found: InspectedMedia, answer: DecoderAnswer, body: Buffer): void {
  if (answer.type === 'inspected') addFindings(found, answer.findings)
  if (answer.type === 'picture') found.picture = { from: answer.from, bytes: body }
}

function addFindings(found: InspectedMedia, { warnings = [], ...findings }: Findings): void {
  const all = [...(found.findings.warnings ?? []), ...warnings]
  found.findings = { ...found.findings, ...findings, ...(all.length > 0 && { warnings: all }) }
}

function resultOf({ end, found }: { end: JobEnd; found: InspectedMedia }): InspectedMedia {
  switch (end.end) {
    case 'died':
      addFindings(found, {
        warnings: ['The file could not be examined wholly: that would take too much time or memory.'],
      })
      return found
    case 'killed':
      throw new AppError('processing_failed', { cause: new Error(`The decoder died. ${end.reason}`) })
    case 'answered':
      if (end.last.type === 'rendered') return found
      throw new AppError('processing_failed', { cause: new Error(end.last.reason ?? end.last.type) })
  }
}
