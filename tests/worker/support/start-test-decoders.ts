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

/** Starts decoder processes as a worker has them. Their outcomes are told by name. */
export function startTestDecoders({ memoryBytes = 1024 ** 3 }: { memoryBytes?: number } = {}) {
  const decoders = createDecoders({
    config: {
      slots: 8,
      maxImagePixels: 100_000_000,
      decoderCpuLimitMs: 60_000,
      decoderTimeLimitMs: 60_000,
      decoderMemoryBytes: memoryBytes,
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

    /** Renders all files, eight at a time. @returns how many files of each name have each outcome */
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
      await Promise.all(Array.from({ length: 8 }, work))
      return found
    },

    close: decoders.close,
  }
}
