import { encodedFormat } from '@millrace/shared/presets/complete-recipe.ts'
import type { Focus } from '@millrace/shared/presets/focus.ts'
import type { Preset } from '@millrace/shared/presets/preset.ts'
import { AppError, type ErrorCode, errorCatalogue } from '@millrace/shared/service/app-error.ts'
import type { Findings } from '@millrace/shared/uploads/upload.ts'
import type { ImageKind } from '../formats/image-kind.ts'
import type { RenderedVariant } from '../images/render-variants.ts'
import type { Size } from '../pixels/raster.ts'
import type { Admission } from './admission.ts'
import { estimateCost } from './decode-cost.ts'
import type { DecoderAnswer } from './decoder-messages.ts'
import type { DecoderPool } from './decoder-pool.ts'
import type { DecoderInput, JobEnd, JobLimits } from './decoder-process.ts'

/** What a caller gets while an image is rendered. */
export type RenderOptions = {
  /** Aborts the work; the decoder is killed. */
  signal: AbortSignal
  /** Receives what the header says, once it passed inspection. It is called once at most. */
  onInspected(findings: Findings): void
  /** Receives each variant once, as soon as it is encoded, largest first. */
  emit(variant: RenderedVariant): void
  /** Receives what the image used, also if it is refused. */
  onUsed?(used: RenderUsage): void
}

/** What rendering an image used. */
export type RenderUsage = {
  /** CPU time of all decoders that tried; undefined if the system does not tell it. */
  cpuMs: number | undefined
  /** The limits in force, by name. */
  limits: Record<string, number>
  /** Versions of the libraries that worked on the file, by name, if a decoder told them. */
  tools: Record<string, string>
}

/**
 * Inspects and renders images in decoder processes. If a process dies with an image, the image is tried once more in a
 * new process, since the cause may be the process's age. If that dies too, the image is at fault.
 *
 * @param deps.memory admits images by the estimated memory of their decoders, in bytes
 * @param deps.processes admits as many images as there are decoders
 * @param deps.memoryBytes the capacity of `memory`
 * @param deps.keptBytes how much memory a decoder may keep from earlier images
 * @param deps.maxPixels limit for all frames of an image
 * @param deps.limits of CPU and wall time of one attempt, in ms
 * @param deps.ffmpeg path of the program that decodes frames of videos
 */
export function createImageRenderer(deps: {
  pool: DecoderPool
  memory: Admission
  processes: Admission
  memoryBytes: number
  keptBytes: number
  maxPixels: number
  limits: { cpuMs: number; wallMs: number }
  ffmpeg?: string | undefined
}) {
  const { pool, memory, processes, memoryBytes, keptBytes, maxPixels, ffmpeg } = deps

  /**
   * @param image.bytes the whole file
   * @param image.focus the upload's focal point
   * @returns what only the pixels say, such as the placeholder
   * @throws AppError `image_too_large` if its decoder would never fit into the memory, `poison_file` if its decoder died
   *   twice, `processing_failed` if something else killed the decoder, and what the decoder found: `image_corrupt`,
   *   `image_too_many_pixels`, `image_too_complex`
   */
  return async function renderImage(
    {
      kind,
      bytes,
      preset,
      focus,
    }: { kind: ImageKind; bytes: Buffer; preset: Preset; focus?: Focus | undefined },
    options: RenderOptions,
  ): Promise<Findings> {
    const { signal } = options
    const cost = estimateCost(kind, bytes, preset)
    // The decoder rejects an image over this limit by its header, which takes no memory.
    const needed = cost.pixels > maxPixels ? bytes.length : cost.bytes
    if (needed > memoryBytes) {
      throw new AppError('image_too_large', {
        message: `Decoding the image takes up to ${needed} bytes of memory; this worker has ${Math.floor(memoryBytes)}.`,
        limit: Math.floor(memoryBytes),
      })
    }
    const isLarge = cost.isLarge || needed > memoryBytes / 4
    const releaseMemory = await memory.acquire({ cost: needed, isLarge }, signal)
    try {
      const releaseProcess = await processes.acquire({ cost: 1, isLarge }, signal)
      try {
        const input = {
          kind,
          preset,
          maxPixels,
          file: bytes,
          ...(focus && { focus }),
          ...(ffmpeg !== undefined && { ffmpeg }),
        }
        return await renderTwice(input, needed, options)
      } finally {
        releaseProcess()
      }
    } finally {
      releaseMemory()
    }
  }

  async function renderTwice(
    input: DecoderInput,
    estimatedBytes: number,
    { signal, onInspected, emit, onUsed }: RenderOptions,
  ): Promise<Findings> {
    // Half as much again: an estimate that is a little too low must not end a good image.
    const limits = { ...deps.limits, rssBytes: keptBytes + 1.5 * estimatedBytes }
    const recipes = new Map(input.preset.variants.map((recipe) => [recipe.name, recipe]))
    let isInspected = false
    const onAnswer = (answer: DecoderAnswer, body: Buffer) => {
      if (answer.type === 'inspected' && !isInspected) {
        isInspected = true
        onInspected(answer.findings)
      }
      if (answer.type === 'variant') emitOnce(answer, body)
    }
    function emitOnce({ name, width, height }: Size & { name: string }, body: Buffer): void {
      const recipe = recipes.get(name)
      // The second process renders again what the first one had sent.
      if (!recipe || !recipes.delete(name)) return
      const format = encodedFormat(recipe.format, input.kind)
      emit({ recipe: { name, format }, width, height, body })
    }
    let cpuMs: number | undefined
    const run = async (fresh: boolean) => {
      const end = await pool.run(input, { fresh, limits, signal, onAnswer })
      if (end.used) cpuMs = (cpuMs ?? 0) + end.used.cpuMs
      return end
    }
    let end = await run(false)
    if (end.end === 'died') end = await run(true)
    onUsed?.({ cpuMs, limits: namedLimits(input, limits), tools: toolsOf(end) })
    return findingsOf(end)
  }
}

export type RenderImage = ReturnType<typeof createImageRenderer>

/** Returns the limits with their units in the names, as the manifest has them. */
function namedLimits({ maxPixels }: DecoderInput, { cpuMs, wallMs, rssBytes }: JobLimits) {
  return {
    maxImagePixels: maxPixels,
    decoderCpuMs: cpuMs,
    decoderTimeMs: wallMs,
    decoderMemoryBytes: Math.floor(rssBytes),
  }
}

function toolsOf(end: JobEnd): Record<string, string> {
  return (end.end === 'answered' && end.last.type !== 'broken' && end.last.tools) || {}
}

function findingsOf(end: JobEnd): Findings {
  switch (end.end) {
    case 'died':
      throw new AppError('poison_file', { cause: deathOf(end) })
    case 'killed':
      throw new AppError('processing_failed', { cause: deathOf(end) })
    case 'answered':
      switch (end.last.type) {
        case 'rendered':
          return end.last.findings
        case 'broken':
          throw new AppError('processing_failed', { cause: new Error(end.last.reason) })
        case 'refused': {
          const { code, message, limit, reason } = end.last
          if (!isErrorCode(code)) throw new AppError('processing_failed', { cause: new Error(code) })
          throw new AppError(code, {
            message,
            ...(limit !== undefined && { limit }),
            ...(reason !== undefined && { cause: new Error(reason) }),
          })
        }
      }
  }
}

function deathOf({ reason, errorOutput }: { reason: string; errorOutput: string }): Error {
  return new Error(`The decoder died. ${reason}${errorOutput && ` It wrote: ${errorOutput}`}`)
}

function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(errorCatalogue, code)
}
