// Tests the tests: plants mistakes into copies of the tree, and demands that a test notices each.
import { globSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { StartError } from '@millrace/local/setup/start-error.ts'
import { createRandom } from '../chaos/random.ts'
import { mutateClouds } from '../stacks/mutations/mutate-clouds.ts'
import { mutations as cloudMutations } from '../stacks/mutations/mutation-list.ts'
import { prebuildPackages } from '../support/prebuilt-packages.ts'
import { root } from '../support/sst-platform.ts'
import { openTestRedis } from '../support/test-redis.ts'
import { assignTests } from './assign-tests.ts'
import { readChangedLines } from './changed-lines.ts'
import { criticalRooms } from './critical-rooms.ts'
import { generateMutations } from './generate-mutations.ts'
import { readKeptMutations } from './kept-mutations.ts'
import { createLane, type Lane } from './lane.ts'
import type { KeptMutation, Mutation } from './mutation.ts'
import { type MutationCounts, runMutations, selectMutations, type Verdict } from './run-mutations.ts'

const { positionals: texts, values } = parseArgs({
  allowPositionals: true,
  options: {
    // Generated mutations of the critical rooms, in place of the kept ones.
    generated: { type: 'boolean', default: false },
    // Only what changed since a commit: kept mutations of changed files and tests, generated ones of changed lines.
    changed: { type: 'boolean', default: false },
    // The branch from which the changed one began, or a commit.
    base: { type: 'string', default: 'origin/main' },
    // Tests so many, drawn by the seed.
    sample: { type: 'string' },
    seed: { type: 'string', default: String(1 + (Date.now() % 1_000_000)) },
    // Ends after this time. What was not tested by then does not count.
    minutes: { type: 'string' },
    // Mutations that are tested at the same time.
    lanes: { type: 'string', default: '2' },
  },
})

const print = (line: string) => process.stdout.write(`${line}\n`)
const interrupted = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => interrupted.abort())
const minutes = values.minutes === undefined ? undefined : Number(values.minutes)
const signal =
  minutes === undefined
    ? interrupted.signal
    : AbortSignal.any([interrupted.signal, AbortSignal.timeout(Math.round(minutes * 60_000))])

const changed = values.changed ? await readChangedLines(values.base) : undefined
const sets = await select()
const total = { killed: 0, tested: 0 }
const directory = await mkdtemp(join(tmpdir(), 'millrace-mutations-'))
const redis = await openTestRedis(print)
try {
  const nodeOptions = [process.env['NODE_OPTIONS'], await prebuildPackages()].filter(Boolean).join(' ')
  const environment = { ...process.env, REDIS_URL: redis.url, NODE_OPTIONS: nodeOptions }
  const lanes = await Promise.all(
    Array.from({ length: Number(values.lanes) }, (_, index) =>
      createLane({ directory: join(directory, String(index)), environment, signal }),
    ),
  )
  if (sets.kept.length > 0) await runKept(lanes)
  if (sets.generated.length > 0 && !signal.aborted) await runGenerated(lanes)
  if (sets.clouds.length > 0 && !signal.aborted) count(await mutateClouds(sets.clouds, { print, signal }))
} catch (error) {
  if (!(error instanceof StartError)) throw error
  print(`✘ ${error.message}`)
  process.exitCode = 1
} finally {
  await redis.close()
  await rm(directory, { recursive: true, force: true })
}
if (interrupted.signal.aborted) process.exitCode = 1
if (total.tested === 0 && changed === undefined) process.exitCode = 1
print(`\nkilled ${total.killed} of ${total.tested}`)

/** Returns the mutations that the arguments ask for. */
async function select() {
  const isChanged = (file: string) => changed === undefined || changed.has(file)
  // In a limited time any of them may be tested, not only the first ones.
  const isOrdered = values.sample === undefined && minutes === undefined
  const draw = <T>(all: T[]) =>
    isOrdered
      ? all
      : createRandom(Number(values.seed))
          .shuffled(all)
          .slice(0, Number(values.sample ?? all.length))
  const isKeptWanted = !values.generated
  const kept = selectMutations(await readKeptMutations(), texts).filter(
    ({ file, tests }) => isChanged(file) || tests.some((test) => isChanged(`tests/${test}`)),
  )
  const clouds = selectMutations(cloudMutations, texts).filter(({ file }) => isChanged(file))
  const isGeneratedWanted = values.generated || changed !== undefined
  const generated = isGeneratedWanted ? selectMutations(await generate(), texts) : []
  const sets = {
    kept: isKeptWanted ? draw(kept) : [],
    clouds: isKeptWanted ? draw(clouds) : [],
    generated: draw(generated),
  }
  print(
    `${sets.kept.length} kept, ${sets.clouds.length} of stacks/, ${sets.generated.length} generated mutations (seed ${values.seed})`,
  )
  return sets
}

async function generate(): Promise<Mutation[]> {
  const files = criticalRooms.flatMap(({ sources }) => globSync(`${sources}**/*.ts`, { cwd: root }))
  const wanted = files.filter((file) => changed === undefined || changed.has(file))
  const isWanted = (file: string) => (line: number) => changed?.get(file)?.has(line) ?? true
  const generated = await Promise.all(
    wanted.map((file) => generateMutations({ file, isWanted: isWanted(file) })),
  )
  return generated.flat()
}

async function runKept(lanes: Lane[]) {
  const passing = new Map<string, Promise<string[]>>()
  const tests = lanes.map((lane) => async (mutation: KeptMutation): Promise<Verdict> => {
    // A test that fails anyway would seem to notice every mutation.
    for (const test of mutation.tests) {
      const run = passing.get(test) ?? lane.runUnchanged(test).then(({ failures }) => failures)
      passing.set(test, run)
      const failures = await run
      if (failures.length > 0) return { problem: `without it, ${test} fails: ${failures.join('; ')}` }
    }
    return lane.test(mutation)
  })
  count(await runMutations({ mutations: sets.kept, lanes: tests, print, signal }))
}

async function runGenerated(lanes: Lane[]) {
  const { tested, failures } = await assignTests({
    mutations: sets.generated,
    lanes,
    print,
    // Half of the time is for the mutations themselves.
    ...(minutes !== undefined && { minutes: minutes / 2 }),
  })
  if (signal.aborted) return
  if (failures.length > 0) {
    print(`✘ Without a mutation, these fail:\n${failures.join('\n')}`)
    process.exitCode = 1
    return
  }
  const tests = lanes.map((lane) => lane.test)
  count(await runMutations({ mutations: tested, lanes: tests, print, signal }), 'some may survive')
}

/**
 * Adds the counts of a run to the total.
 * @param survival whether a survivor fails the command. Some generated mutations change nothing that anybody could notice.
 */
function count(
  counts: MutationCounts,
  survival: 'none may survive' | 'some may survive' = 'none may survive',
) {
  const { planned, killed, survived, problems } = counts
  const tested = killed + survived + problems
  total.killed += killed
  total.tested += tested
  if (tested < planned) print(`${planned - tested} of ${planned} were not tested.`)
  if (problems > 0 || (survived > 0 && survival === 'none may survive')) process.exitCode = 1
}
