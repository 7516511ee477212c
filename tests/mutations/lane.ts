import { join } from 'node:path'
import { runTestFiles } from '../support/run-file.ts'
import { groupByProcess } from '../support/shared-process.ts'
import type { Mutation } from './mutation.ts'
import type { Verdict } from './run-mutations.ts'
import { createTreeCopy } from './tree-copy.ts'

/** Time limit of one test file, in milliseconds. A mutation that makes a test wait for ever is noticed by it. */
const limitMs = 120_000

/** A mutation, and the test files that may notice it, relative to tests/. They run in this order. */
export type TestedMutation = Mutation & { tests: readonly string[] }

/**
 * Tests one mutation at a time, in a copy of the tree of its own.
 *
 * @param options.directory a new directory for the copy
 * @param options.environment variables of the tests, with the Redis of the run
 */
export async function createLane(options: {
  directory: string
  environment: NodeJS.ProcessEnv
  signal: AbortSignal
}) {
  const { directory, signal } = options
  const copy = await createTreeCopy(directory)
  const testRoot = join(directory, 'tests')
  const environment = { ...options.environment, NODE_COMPILE_CACHE: join(directory, '.compile-cache') }

  const runInOneProcess = (paths: string[], variables: NodeJS.ProcessEnv = {}) =>
    runTestFiles(paths, {
      environment: { ...environment, ...variables },
      limitMs,
      signal,
      cwd: directory,
      untilFailure: true,
    })

  /** Runs the files until one fails. Returns its failures, or none. */
  async function run(tests: readonly string[]): Promise<string[]> {
    const paths = tests.map((test) => join(testRoot, test))
    for (const group of groupByProcess(testRoot, paths)) {
      // A file that ends its process leaves the files after it without a result.
      for (let rest = group; rest.length > 0; ) {
        const ended = await runInOneProcess(rest)
        const failures = ended.flatMap((result) => result.failures)
        if (failures.length > 0) return failures
        rest = rest.slice(ended.length)
      }
    }
    return []
  }

  return {
    directory,

    /**
     * Runs a test file without a mutation.
     * @param reports the directory in which each process reports what ran, see `readCoverage`
     */
    async runUnchanged(test: string, reports?: string) {
      const [result] = await runInOneProcess(
        [join(testRoot, test)],
        reports === undefined ? {} : { NODE_V8_COVERAGE: reports },
      )
      return { failures: result?.failures ?? ['the file did not run'], durationMs: result?.durationMs ?? 0 }
    },

    async test(mutation: TestedMutation): Promise<Verdict> {
      try {
        const remove = await copy.plant(mutation)
        return { failedTests: await run(mutation.tests).finally(remove) }
      } catch (error) {
        return { problem: error instanceof Error ? error.message : String(error) }
      }
    },
  }
}

export type Lane = Awaited<ReturnType<typeof createLane>>
