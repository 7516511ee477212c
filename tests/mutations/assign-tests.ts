import { globSync } from 'node:fs'
import { join } from 'node:path'
import { root } from '../support/sst-platform.ts'
import { criticalRooms } from './critical-rooms.ts'
import type { Lane, TestedMutation } from './lane.ts'
import type { Mutation } from './mutation.ts'
import { runUnchanged } from './unchanged-run.ts'

/**
 * Says which test files run for each generated mutation: those of its room that run its code, the quickest first.
 *
 * @param options.minutes ends the search; the files that did not run by then run for no mutation
 * @returns the mutations with their files, and what failed without a mutation. If the search ended early, mutations whose code
 * no file ran are left out: another file might.
 */
export async function assignTests(options: {
  mutations: readonly Mutation[]
  lanes: readonly Lane[]
  print: (line: string) => void
  minutes?: number
}): Promise<{ tested: TestedMutation[]; failures: string[] }> {
  const { mutations, lanes, print, minutes } = options
  const testsOf = new Map(mutations.map(({ file }) => [file, new Set(findRoomTests(file))]))
  const tests = new Set([...testsOf.values()].flatMap((names) => [...names]))
  print(`Running ${tests.size} test files without a mutation, to see which code each runs…`)
  const search = minutes === undefined ? undefined : AbortSignal.timeout(minutes * 60_000)
  const { passing, failures } = await runUnchanged({
    lanes,
    tests: [...tests],
    ...(search && { until: search }),
  })
  const tested = mutations.map((mutation) => {
    const { file, offset = 0 } = mutation
    const covering = passing.filter(
      ({ test, covers }) => testsOf.get(file)?.has(test) && covers(file, offset),
    )
    return { ...mutation, tests: covering.map(({ test }) => test) }
  })
  const isComplete = passing.length + failures.length >= tests.size
  return { tested: isComplete ? tested : tested.filter(({ tests }) => tests.length > 0), failures }
}

/** Returns the files, relative to tests/, that may notice a mistake in a file of a critical room. */
function findRoomTests(file: string): string[] {
  const room = criticalRooms.find(({ sources }) => file.startsWith(sources))
  const all = globSync('**/*.test.ts', { cwd: join(root, 'tests'), exclude: ['**/node_modules'] })
  return all.filter((test) => room?.tests.some((start) => test.startsWith(start)))
}
