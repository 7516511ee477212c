import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type Coverage, readCoverage } from './coverage.ts'
import type { Lane } from './lane.ts'

/** A test file that passes without a mutation. */
export type UnchangedFile = { test: string; durationMs: number; covers: Coverage }

/**
 * Runs test files without a mutation: a file that fails anyway would seem to notice every mutation.
 *
 * @param options.tests relative to tests/
 * @param options.withCoverage whether `covers` says what ran; otherwise it says that everything did
 * @param options.until after it no further file begins
 * @returns the files that pass, the quickest first, and the failures of the others
 */
export async function runUnchanged(options: {
  lanes: readonly Lane[]
  tests: readonly string[]
  withCoverage: boolean
  until?: AbortSignal
}) {
  const { lanes, tests, withCoverage, until } = options
  const waiting = [...tests]
  const passing: UnchangedFile[] = []
  const failures: string[] = []
  await Promise.all(
    lanes.map(async (lane) => {
      const reports = join(lane.directory, '.coverage')
      for (let test = waiting.shift(); test !== undefined && !until?.aborted; test = waiting.shift()) {
        if (withCoverage) await mkdir(reports)
        const result = await lane.runUnchanged(test, withCoverage ? reports : undefined)
        const covers = withCoverage ? await readCoverage(reports, lane.directory) : () => true
        await rm(reports, { recursive: true, force: true })
        if (result.failures.length === 0) passing.push({ test, durationMs: result.durationMs, covers })
        else failures.push(...result.failures.map((failure) => `${test}: ${failure}`))
      }
    }),
  )
  passing.sort((a, b) => a.durationMs - b.durationMs)
  return { passing, failures }
}
