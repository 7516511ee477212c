import type { Preset } from '@millrace/shared/presets/preset.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import { createDecoders } from '@millrace/worker/decoders/decoders.ts'
import { isImageKind } from '@millrace/worker/formats/image-kind.ts'
import { detectMediaType, typeHeadBytes } from '@millrace/worker/types/detect-type.ts'

/** One small picture, which of an animated file is an animation. */
const preset: Preset = {
  name: 'tiny',
  variants: [{ name: 'only', fit: 'inside', width: 16, format: 'webp', quality: 80, effort: 0 }],
}

/**
 * Starts decoder processes as a worker has them. Their outcomes are told by name.
 *
 * @param options.slots how many files are rendered at a time. Each decoder that starts costs as much CPU time as some ten files
 */
export function startTestDecoders({ slots = 8 }: { slots?: number } = {}) {
  const decoders = createDecoders({
    config: {
      slots,
      maxImagePixels: 100_000_000,
      decoderCpuLimitMs: 60_000,
      decoderTimeLimitMs: 60_000,
      decoderMemoryBytes: 1024 ** 3,
      decoderPreload: undefined,
    },
  })

  /** Renders a file. @returns `ready`, the code of its error, or `not an image` */
  async function outcome(bytes: Buffer): Promise<string> {
    const kind = await detectMediaType(bytes.subarray(0, typeHeadBytes))
    if (!isImageKind(kind)) return 'not an image'
    const { signal } = new AbortController()
    try {
      await decoders.renderImage({ kind, bytes, preset }, { signal, onInspected: () => {}, emit: () => {} })
      return 'ready'
    } catch (error) {
      if (error instanceof AppError) return error.code
      throw error
    }
  }

  return {
    outcome,

    /** Renders all files. @returns how many files of each name have each outcome */
    async outcomes(
      files: Iterable<{ name: string; bytes: Buffer }>,
    ): Promise<Record<string, Record<string, number>>> {
      const found: Record<string, Record<string, number>> = {}
      const queue = Iterator.from(files)
      const work = async () => {
        for (const { name, bytes } of queue) {
          const ended = await outcome(bytes)
          const counts = found[name] ?? {}
          counts[ended] = (counts[ended] ?? 0) + 1
          found[name] = counts
        }
      }
      await Promise.all(Array.from({ length: slots }, work))
      return found
    },

    close: decoders.close,
  }
}
