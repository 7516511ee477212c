import { globSync } from 'node:fs'
import { join } from 'node:path'
import type { KeptMutation } from './mutation.ts'

const folder = join(import.meta.dirname, 'kept')

/**
 * Reads the plausible mistakes of all rooms. Each must make a test fail: a new one that does not shows an intention that no
 * test states. `kept/api/tus.ts` lists those of packages/api/src/tus. Those in stacks/ are in tests/stacks/mutations/, because their
 * tests read a built cloud.
 */
export async function readKeptMutations(): Promise<KeptMutation[]> {
  const lists: { mutations: readonly KeptMutation[] }[] = await Promise.all(
    globSync('*/*.ts', { cwd: folder })
      .sort()
      .map((file) => import(join(folder, file))),
  )
  return lists.flatMap(({ mutations }) => mutations)
}
