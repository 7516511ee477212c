import { fileURLToPath } from 'node:url'
import { createDecoderPool } from './decoder-pool.ts'
import { createImageRenderer } from './render-image.ts'

const mebibyte = 1024 ** 2

/**
 * A decoder is replaced after 500 jobs, so that a leak of a library stays small; starting one costs 0.2 s of CPU. And it
 * is replaced if it keeps 256 MiB more than the 100 MiB of a new one, since C libraries rarely return what they freed.
 */
const recycle = { jobs: 500, rssBytes: 356 * mebibyte }

/**
 * Composes the decoder processes.
 *
 * @param deps.program replaces the decoders' program, for tests
 */
export function createDecoders(deps: {
  config: {
    maxImagePixels: number
    decoderCpuLimitMs: number
    decoderTimeLimitMs: number
    decoderMemoryBytes: number
    decoderPreload: string | undefined
  }
  program?: string
}) {
  const { config, program = fileURLToPath(import.meta.resolve('./decoder-main.ts')) } = deps
  const pool = createDecoderPool({ program, environment: environmentOf(config.decoderPreload), recycle })
  return {
    renderImage: createImageRenderer({
      pool,
      maxPixels: config.maxImagePixels,
      limits: {
        cpuMs: config.decoderCpuLimitMs,
        wallMs: config.decoderTimeLimitMs,
        rssBytes: config.decoderMemoryBytes,
      },
    }),
    /** Ends idle decoders. The caller has ended all jobs before. */
    close: pool.close,
  }
}

export type Decoders = ReturnType<typeof createDecoders>

/** The whole environment of a decoder. Nothing of the worker's own is in it, such as keys. */
function environmentOf(preload: string | undefined): Record<string, string> {
  return {
    // glibc keeps freed memory in arenas, up to eight per core.
    MALLOC_ARENA_MAX: '2',
    // One for the picture, one for everything else.
    UV_THREADPOOL_SIZE: '2',
    ...(preload !== undefined && { LD_PRELOAD: preload }),
  }
}
