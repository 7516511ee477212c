/**
 * Returns what a process that a test starts gets of the environment of the tests: how it finds programs, and how Node loads
 * modules faster (see prebuilt-packages.ts). Anything else would be a setting that the test does not name.
 */
export function processEnvironment(): Record<string, string> {
  const { PATH, NODE_COMPILE_CACHE, NODE_OPTIONS } = process.env
  return {
    ...(PATH !== undefined && { PATH }),
    ...(NODE_COMPILE_CACHE !== undefined && { NODE_COMPILE_CACHE }),
    ...(NODE_OPTIONS !== undefined && { NODE_OPTIONS }),
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
