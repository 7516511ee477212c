/**
 * Returns what a process that a test starts gets of the environment of the tests: how it finds programs, how Node loads
 * modules faster (see prebuilt-packages.ts), and that it has huge pages (see run.ts). Anything else would be a setting that the test does not name.
 */
export function processEnvironment(): Record<string, string> {
  const { PATH, NODE_COMPILE_CACHE, NODE_OPTIONS, GLIBC_TUNABLES } = process.env
  return {
    ...(PATH !== undefined && { PATH }),
    ...(NODE_COMPILE_CACHE !== undefined && { NODE_COMPILE_CACHE }),
    ...(NODE_OPTIONS !== undefined && { NODE_OPTIONS }),
    ...(GLIBC_TUNABLES !== undefined && { GLIBC_TUNABLES }),
  }
}

/**
 * Returns NODE_OPTIONS of a process that loads one more module first.
 *
 * @param module its path
 */
export function nodeOptionsWith(module: string): string {
  return [process.env['NODE_OPTIONS'], `--import=${module}`].filter(Boolean).join(' ')
}
