import { getCompileCacheDir } from 'node:module'
import { dirname } from 'node:path'

/** The directory of the compile cache that the tests share. It has a subdirectory for each version of Node. */
const directory = getCompileCacheDir()

/** Variables with which a process starts in half of the CPU time, as the decoders of a worker do. */
export const compileCacheVariables: Record<string, string> =
  directory === undefined ? {} : { NODE_COMPILE_CACHE: dirname(directory) }
