import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type Coverage, readCoverage } from './coverage.ts'
import type { Lane } from './lane.ts'

/** A test file that passes without a mutation, and what it runs. */
export type UnchangedFile = { test: string; durationMs: number; covers: Coverage }

/**
 * Runs test files without a mutation: a file that fails anyway would seem to notice every mutation.
 *
 * @param options.tests relative to tests/
 * @param options.until after it no further file begins
 * @returns the files that pass, the quickest first, and the failures of the others
 */
export async function runUnchanged(options: {
  lanes: readonly Lane[]
  tests: readonly string[]
  until?: AbortSignal
}) {
  const { lanes, tests, until } = options
  const waiting = [...tests]
  const passing: UnchangedFile[] = []
  const failures: string[] = []
  await Promise.all(
    lanes.map(async (lane) => {
      const reports = join(lane.directory, '.coverage')
      for (let test = waiting.shift(); test !== undefined && !until?.aborted; test = waiting.shift()) {
        await mkdir(reports)
        const result = await lane.runUnchanged(test, reports)
        const covers = await readCoverage(reports, lane.directory)
        await rm(reports, { recursive: true })
        if (result.failures.length === 0) passing.push({ test, durationMs: result.durationMs, covers })
        else failures.push(...result.failures.map((failure) => `${test}: ${failure}`))
      }
    }),
  )
  passing.sort((a, b) => a.durationMs - b.durationMs)
  return { passing, failures }
}
