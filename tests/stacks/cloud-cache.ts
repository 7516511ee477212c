import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import type { Cloud } from '../support/mock-cloud.ts'

/** Names a file with clouds that were built already. Only set while mutations are tested (mutations/main.ts). */
export const cloudsFileVariable = 'TEST_CLOUDS_FILE'
/** Names the clouds that are built although the file has them, comma separated. */
export const rebuiltCloudsVariable = 'TEST_CLOUDS_REBUILT'

/**
 * Takes clouds from the file that the environment names, because building one takes longer than all tests of it. Without a
 * file, every cloud is built.
 */
export function createCloudCache(environment: Readonly<Record<string, string | undefined>>) {
  const file = environment[cloudsFileVariable]
  const rebuilt = environment[rebuiltCloudsVariable]?.split(',') ?? []
  const stored: Record<string, Cloud> =
    file !== undefined && existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : {}

  return {
    /** Returns the stored cloud of this name, or builds it. */
    async provide(name: string, build: () => Promise<Cloud>): Promise<Cloud> {
      const found = rebuilt.includes(name) ? undefined : stored[name]
      return found ?? build()
    },

    /** Writes the clouds to the file, if there is one and it does not exist. */
    save(clouds: Record<string, Cloud>): void {
      if (file !== undefined && !existsSync(file)) writeFileSync(file, JSON.stringify(clouds))
    },
  }
}
