import { readFileSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type MutationCounts, runMutations, type Verdict } from '../../mutations/run-mutations.ts'
import { createTreeCopy, type TreeCopy } from '../../mutations/tree-copy.ts'
import { runTestFile } from '../../support/run-file.ts'
import { provideSstPlatform } from '../../support/sst-platform.ts'
import { cloudsFileVariable } from '../cloud-cache.ts'
import { type CloudName, cloudOptions } from '../cloud-options.ts'
import { createCloudBuilder } from './cloud-builder.ts'
import type { CloudMutation } from './cloud-mutation.ts'

/** The cores of the smallest machine. */
const lanesAtOnce = 2
const limitMs = 240_000
/** Build clouds of their own, check types or compare a drawn page. They run only for mutations that name them. */
const slowFiles = ['stages.ts', 'checked-in-files.ts']

/**
 * Plants mutations into copies of stacks/, builds the cloud of each, and runs the infrastructure tests on it.
 *
 * @param options.signal ends the run; what is being tested then does not count
 * @throws Error if the configuration does not build, or a test fails, without a mutation
 */
export async function mutateClouds(
  mutations: readonly CloudMutation[],
  { print, signal }: { print: (line: string) => void; signal: AbortSignal },
): Promise<MutationCounts> {
  await provideSstPlatform(print)
  const directory = await mkdtemp(join(tmpdir(), 'millrace-mutations-'))
  const lanes: ReturnType<typeof createLane>[] = []
  try {
    for (let index = 0; index < lanesAtOnce; index++) {
      lanes.push(createLane(await createTreeCopy(join(directory, String(index))), signal))
    }
    const [first] = lanes
    if (!first) throw new Error('There is no lane.')
    // Without a mutation everything must pass. Clouds in which a mutation does not show are taken from this build.
    const problem = await first.build(Object.keys(cloudOptions) as CloudName[], first.unchangedFile)
    if (problem) throw new Error(problem)
    const clouds = readFileSync(first.unchangedFile, 'utf8')
    for (const lane of lanes) {
      // The clouds name the directory in which they were built.
      writeFileSync(lane.unchangedFile, clouds.replaceAll(first.directory, lane.directory))
      const unchanged = await lane.run(lane.cloudTests, lane.unchangedFile)
      if (unchanged.failures.length > 0) {
        throw new Error(
          `${unchanged.output}\nWithout a mutation, these fail: ${unchanged.failures.join('; ')}`,
        )
      }
    }
    return await runMutations({ mutations, signal, lanes: lanes.map((lane) => lane.test), print })
  } finally {
    for (const lane of lanes) lane.stop()
    await rm(directory, { recursive: true })
  }
}

/** Tests one mutation at a time, in one copy of the tree. */
function createLane(copy: TreeCopy, signal: AbortSignal) {
  const { directory } = copy
  const environment = { ...process.env, NODE_COMPILE_CACHE: join(directory, '.compile-cache') }
  const builder = createCloudBuilder(directory, environment)
  const unchangedFile = join(directory, 'unchanged.json')
  const mutatedFile = join(directory, 'mutated.json')
  const cloudTests = cloudTestsOf(directory)

  async function run(files: readonly string[], cloudsFile?: string) {
    return runTestFile(await writeEntry(directory, files), {
      environment: { ...environment, ...(cloudsFile && { [cloudsFileVariable]: cloudsFile }) },
      limitMs,
      signal,
      cwd: directory,
    })
  }

  async function runPlanted({ tests, clouds = ['production'] }: CloudMutation) {
    // Files that a mutation names build what they need.
    if (tests) return run(tests)
    const problem = await builder.build(clouds, mutatedFile)
    if (problem) return { problem: `the configuration does not build: ${problem}` }
    const read = (file: string) => JSON.parse(readFileSync(file, 'utf8'))
    writeFileSync(mutatedFile, JSON.stringify({ ...read(unchangedFile), ...read(mutatedFile) }))
    return run(cloudTests, mutatedFile)
  }

  return {
    directory,
    /** The clouds without a mutation. */
    unchangedFile,
    cloudTests,
    run,
    build: builder.build,
    stop: builder.stop,

    async test(mutation: CloudMutation): Promise<Verdict> {
      try {
        const remove = await copy.plant(mutation)
        const result = await runPlanted(mutation).finally(remove)
        if ('problem' in result) return result
        // Tests that do not even start would hide whether one of them notices the mistake.
        if (result.passed + result.failures.length < 2) {
          return { problem: `the tests could not run:\n${result.output.trimEnd().slice(-2_000)}` }
        }
        return { failedTests: result.failures }
      } catch (error) {
        return { problem: error instanceof Error ? error.message : String(error) }
      }
    },
  }
}

/** Returns the files that cloud.test.ts of a copy imports, without the slow ones. */
function cloudTestsOf(directory: string): string[] {
  const text = readFileSync(join(directory, 'tests/stacks/cloud.test.ts'), 'utf8')
  const files = Array.from(text.matchAll(/^import '\.\/(.+)'$/gm), ([, file = '']) => file)
  return files.filter((file) => !slowFiles.includes(file))
}

/**
 * Writes a test file that runs some files of tests/stacks in one process.
 * @returns its path
 */
async function writeEntry(directory: string, files: readonly string[]): Promise<string> {
  const path = join(directory, 'tests/stacks/mutated.test.ts')
  await writeFile(path, files.map((file) => `import './${file}'\n`).join(''))
  return path
}
