import { getCompileCacheDir } from 'node:module'
import { availableParallelism } from 'node:os'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { AppError } from '@millrace/shared/service/app-error.ts'
import { createAdmission } from './admission.ts'
import { createDecoderPool } from './decoder-pool.ts'
import { createMediaInspector } from './inspect-media.ts'
import { createImageRenderer } from './render-image.ts'

const mebibyte = 1024 ** 2

/**
 * A decoder is replaced after 500 jobs, so that a leak of a library stays small; starting one costs 0.3 s of CPU. And it
 * is replaced if it keeps 256 MiB more than the 100 MiB of a new one, since C libraries rarely return what they freed.
 */
const recycle = { jobs: 500, rssBytes: 356 * mebibyte }

/** The share of the memory for files that wait for a decoder or are in one. The rest is for decoders. */
const fileShare = 1 / 4

/**
 * Composes the decoder processes and the admission to them. A job takes, in this order, memory for its file, memory for
 * its decoder, and a decoder. The order is the same for all, so that no two jobs wait for each other.
 *
 * @param deps.program replaces the decoders' program, for tests
 * @param deps.onLargeWaiting is called with the number of large images that wait, when it changes
 */
export function createDecoders(deps: {
  config: {
    slots: number
    maxImagePixels: number
    decoderCpuLimitMs: number
    decoderTimeLimitMs: number
    decoderMemoryBytes: number
    decoderPreload: string | undefined
    ffmpeg?: string | undefined
  }
  program?: string
  onLargeWaiting?: (count: number) => void
}) {
  const { config, program = fileURLToPath(import.meta.resolve('./decoder-main.ts')) } = deps
  const pool = createDecoderPool({ program, environment: environmentOf(config.decoderPreload), recycle })
  // One for each core, and one more. All but one may have a large image. So large images use all cores, and an ordinary
  // photo still finds a decoder at once.
  const decoderCount = Math.min(availableParallelism() + 1, config.slots)
  const fileCapacity = config.decoderMemoryBytes * fileShare
  const files = createAdmission({ capacity: fileCapacity, largeCapacity: (fileCapacity * 3) / 4 })
  const memoryCapacity = config.decoderMemoryBytes - fileCapacity
  const waiting = { memory: 0, processes: 0 }
  const onLargeWaiting = (gate: keyof typeof waiting) => (count: number) => {
    waiting[gate] = count
    deps.onLargeWaiting?.(waiting.memory + waiting.processes)
  }

  const shared = {
    pool,
    memory: createAdmission({
      capacity: memoryCapacity,
      largeCapacity: (memoryCapacity * 3) / 4,
      onLargeWaiting: onLargeWaiting('memory'),
    }),
    processes: createAdmission({
      capacity: decoderCount,
      largeCapacity: Math.max(1, decoderCount - 1),
      onLargeWaiting: onLargeWaiting('processes'),
    }),
    memoryBytes: memoryCapacity,
    keptBytes: recycle.rssBytes,
    limits: { cpuMs: config.decoderCpuLimitMs, wallMs: config.decoderTimeLimitMs },
    ffmpeg: config.ffmpeg,
  }

  return {
    renderImage: createImageRenderer({ ...shared, maxPixels: config.maxImagePixels }),
    inspectMedia: createMediaInspector(shared),

    /**
     * Waits for memory for a file.
     * @param size in bytes
     * @returns a function that gives it back
     * @throws AppError `image_too_large` if it will never fit, or the signal's reason
     */
    async reserveFile(size: number, signal: AbortSignal): Promise<() => void> {
      if (size > fileCapacity) {
        throw new AppError('image_too_large', {
          message: `The image file has ${size} bytes; this worker has memory for ${Math.floor(fileCapacity)}.`,
          limit: Math.floor(fileCapacity),
        })
      }
      return files.acquire({ cost: size, isLarge: size > fileCapacity / 8 }, signal)
    },

    /**
     * Starts a decoder before the first job: a worker whose decoders do not start must take none.
     * @throws Error if it does not start
     */
    prepare: pool.prepare,

    /** Returns what the decoders use, and what is reserved for them and their files. Sizes in bytes. */
    usage: () => ({
      ...pool.usage(),
      reserved: { files: files.used(), decoders: shared.memory.used() },
      limits: { files: fileCapacity, decoders: memoryCapacity },
    }),

    /** Ends all decoders, and with them their jobs. */
    close: pool.close,
  }
}

export type Decoders = ReturnType<typeof createDecoders>

/** The whole environment of a decoder. Nothing of the worker's own is in it, such as keys. */
function environmentOf(preload: string | undefined): Record<string, string> {
  // A subdirectory for each version of Node in the one that NODE_COMPILE_CACHE names.
  const compileCache = getCompileCacheDir()
  return {
    // Halves the CPU time of a decoder's start.
    ...(compileCache !== undefined && { NODE_COMPILE_CACHE: dirname(compileCache) }),
    // glibc keeps freed memory in arenas, up to eight per core.
    MALLOC_ARENA_MAX: '2',
    // One for the picture, one for everything else.
    UV_THREADPOOL_SIZE: '2',
    ...(preload !== undefined && { LD_PRELOAD: preload }),
  }
}
