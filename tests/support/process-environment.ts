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
