// Tests the tests: plants mistakes into copies of the tree, and demands that a test notices each.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { openTestRedis } from '../support/test-redis.ts'
import { keptMutations } from './kept/kept-mutations.ts'
import { createLane } from './lane.ts'
import type { KeptMutation } from './mutation.ts'
import { runMutations, selectMutations } from './run-mutations.ts'

const { positionals: texts, values } = parseArgs({
  allowPositionals: true,
  options: { lanes: { type: 'string', default: '2' } },
})
const print = (line: string) => process.stdout.write(`${line}\n`)
const stopping = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => stopping.abort())

/** Returns the tests that fail without a mutation, which would otherwise seem to notice every mutation. */
async function findFailing(
  lane: { run(tests: readonly string[]): Promise<string[]> },
  mutations: KeptMutation[],
) {
  return lane.run([...new Set(mutations.flatMap(({ tests }) => tests))])
}

const selected = selectMutations(keptMutations, texts)
const directory = await mkdtemp(join(tmpdir(), 'millrace-mutations-'))
const redis = await openTestRedis(print)
try {
  const environment = { ...process.env, REDIS_URL: redis.url }
  const lanes = await Promise.all(
    Array.from({ length: Number(values.lanes) }, (_, index) =>
      createLane({ directory: join(directory, String(index)), environment, signal: stopping.signal }),
    ),
  )
  const [first] = lanes
  const failing = first ? await findFailing(first, selected) : []
  if (failing.length > 0) {
    print(`✘ Without a mutation, these fail: ${failing.join('; ')}`)
    process.exitCode = 1
  } else {
    const counts = await runMutations({
      mutations: selected,
      lanes: lanes.map((lane) => lane.test),
      print,
      signal: stopping.signal,
    })
    if (counts.killed < counts.planned) process.exitCode = 1
    print(`\nkilled ${counts.killed} of ${counts.planned}`)
  }
} finally {
  await redis.close()
  await rm(directory, { recursive: true, force: true })
}
