// Tests the infrastructure tests: plants mistakes into copies of the tree, and demands that a test notices each.
import { readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { runTestFile } from '../../support/run-file.ts'
import { provideSstPlatform, root } from '../../support/sst-platform.ts'
import { cloudsFileVariable, rebuiltCloudsVariable } from '../cloud-cache.ts'
import type { Mutation } from './mutation.ts'
import { mutations } from './mutation-list.ts'
import { runMutations, selectMutations, type Verdict } from './run-mutations.ts'
import { createTreeCopy, type TreeCopy } from './tree-copy.ts'

/** The cores of the smallest machine. */
const lanes = 2
const limitMs = 240_000
/** Build clouds of their own, check types or compare a drawn page. They run only for mutations that name them. */
const slowFiles = ['stages.ts', 'checked-in-files.ts']

/**
 * @param texts select mutations, see `selectMutations`
 * @returns the exit code: 1 if a mutation was not noticed, or could not be planted
 */
export async function mutate(texts: readonly string[]): Promise<number> {
  const print = (line: string) => process.stdout.write(`${line}\n`)
  const selected = selectMutations(mutations, texts)
  if (selected.length === 0) {
    print(`✘ No mutation's name or file contains ${texts.join(', ')}.`)
    return 1
  }
  await provideSstPlatform(print)
  const stopping = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => stopping.abort())
  const directory = await mkdtemp(join(tmpdir(), 'millrace-mutations-'))
  const cloudsFile = join(directory, 'clouds.json')
  try {
    const copies = await Promise.all(
      Array.from({ length: lanes }, (_, index) => createTreeCopy(join(directory, String(index)))),
    )
    const [first] = copies
    if (!first) throw new Error('There is no copy.')
    // Without a mutation everything must pass. This also writes the clouds that mutations do not rebuild.
    const unchanged = await runTests(first, cloudTests())
    if (unchanged.failures.length > 0) {
      print(`${unchanged.output}\n✘ Without a mutation, these fail: ${unchanged.failures.join('; ')}`)
      return 1
    }
    const failures = await runMutations({
      mutations: selected,
      lanes: copies.map((copy) => (mutation) => test(copy, mutation)),
      print,
    })
    return failures > 0 ? 1 : 0
  } finally {
    await rm(directory, { recursive: true })
  }

  async function test(copy: TreeCopy, mutation: Mutation): Promise<Verdict> {
    const { tests = cloudTests(), clouds = ['production'] } = mutation
    if (stopping.signal.aborted) return { problem: 'was interrupted' }
    let remove: () => Promise<void>
    try {
      remove = await copy.plant(mutation)
    } catch (error) {
      return { problem: error instanceof Error ? error.message : String(error) }
    }
    const result = await runTests(copy, tests, clouds)
    await remove()
    // A configuration that does not even build would hide whether a test notices the mistake.
    if (result.passed + result.failures.length < 2) {
      return { problem: `the tests could not run:\n${result.output.trimEnd().slice(-2_000)}` }
    }
    return { failedTests: result.failures }
  }

  async function runTests(copy: TreeCopy, files: readonly string[], rebuilt?: readonly string[]) {
    const environment = {
      ...process.env,
      [cloudsFileVariable]: cloudsFile,
      ...(rebuilt && { [rebuiltCloudsVariable]: rebuilt.join(',') }),
      NODE_COMPILE_CACHE: join(copy.directory, '.compile-cache'),
    }
    return runTestFile(await copy.writeEntry(files), { environment, limitMs, signal: stopping.signal })
  }
}

/** Returns the files that cloud.test.ts imports, without the slow ones. */
function cloudTests(): string[] {
  const text = readFileSync(join(root, 'tests/stacks/cloud.test.ts'), 'utf8')
  const files = Array.from(text.matchAll(/^import '\.\/(.+)'$/gm), ([, file = '']) => file)
  return files.filter((file) => !slowFiles.includes(file))
}
