import { readFileSync } from 'node:fs'
import type { Cloud } from '../support/mock-cloud.ts'
import type { CloudName } from './cloud-options.ts'

/** Names a file with all clouds. Only set while mutations are tested (mutations/main.ts). */
export const cloudsFileVariable = 'TEST_CLOUDS_FILE'

/** Reads the clouds of the file that the environment names. Without such a file the tests build them. */
export function readStoredClouds(
  environment: Readonly<Record<string, string | undefined>>,
): Record<CloudName, Cloud> | undefined {
  const file = environment[cloudsFileVariable]
  return file === undefined ? undefined : JSON.parse(readFileSync(file, 'utf8'))
}
