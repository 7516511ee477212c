import { execFile } from 'node:child_process'
import { globSync } from 'node:fs'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import * as assert from 'uvu/assert'
import { root } from '../support/sst-platform.ts'
import { suite } from '../support/suite.ts'
import { parseDiff } from './changed-lines.ts'
import { readCoverage } from './coverage.ts'
import { criticalRooms } from './critical-rooms.ts'
import { generateMutations } from './generate-mutations.ts'
import { applyMutation } from './mutation.ts'

const test = suite('generated mutations', { directory: '' })

test.before(async (context) => {
  context.directory = await mkdtemp(join(tmpdir(), 'millrace-generated-'))
})

test.after(async ({ directory }) => {
  await rm(directory, { recursive: true })
})

const source = `export function isFull(used: number, limit: number | undefined): boolean {
  if (limit === undefined) return false
  return used + 1 > limit
}
`

test('a comparison gets its boundary, its opposite and both constants', async ({ directory }) => {
  await writeFile(join(directory, 'full.ts'), source)
  const mutations = await generateMutations({
    tree: directory,
    file: 'full.ts',
    isWanted: (line) => line === 3,
  })
  assert.equal(mutations.map((mutation) => applyMutation(source, mutation).split('\n')[2]?.trim()).sort(), [
    'return (false)',
    'return (true)',
    'return (used + 1 <= limit)',
    'return (used + 1 >= limit)',
    'return (used - 1) > limit',
  ])
})

test('texts, imports, logs and what the types forbid are not mutated', async ({ directory }) => {
  const dull = `import { a } from './a.ts'
export const name = 'name'
export const list = [1]
export const read = (log: { info(data: object, text: string): void }) => log.info({ list }, 'read')
`
  await writeFile(join(directory, 'dull.ts'), dull)
  assert.equal(await generateMutations({ tree: directory, file: 'dull.ts' }), [])
})

test('a generated mutation whose place has another text is an error', () => {
  const mutation = { name: 'one', file: 'a.ts', before: 'b', after: 'c', offset: 1 }
  assert.is(applyMutation('bb', mutation), 'bc')
  assert.throws(() => applyMutation('bab', mutation), /a\.ts does not contain its text/)
})

test('the changed lines of a diff are those of the new file', () => {
  const changed = parseDiff(`diff --git a/x.ts b/x.ts
--- a/x.ts
+++ b/x.ts
@@ -3 +3,2 @@ function x() {
-old
+new
+newer
@@ -9,2 +10,0 @@
-gone
-gone
@@ -20,0 +20 @@
+++ b/is a line of text
--- a/y.ts
+++ /dev/null
@@ -1 +0,0 @@
-y
`)
  assert.equal(
    [...changed].map(([file, lines]) => [file, [...lines]]),
    [['x.ts', [3, 4, 20]]],
  )
})

test('coverage tells which characters of a source file ran', async ({ directory }) => {
  const tree = join(directory, 'tree')
  const reports = join(directory, 'reports')
  await mkdir(join(tree, 'packages'), { recursive: true })
  await writeFile(join(tree, 'packages/full.ts'), source)
  await writeFile(
    join(tree, 'main.ts'),
    `import { isFull } from './packages/full.ts'\nisFull(1, undefined)\n`,
  )
  await promisify(execFile)(process.execPath, [join(tree, 'main.ts')], {
    env: { ...process.env, NODE_V8_COVERAGE: reports },
  })
  const covers = await readCoverage(reports, tree)
  assert.equal(
    ['undefined) return', 'false', 'used + 1'].map((text) =>
      covers('packages/full.ts', source.indexOf(text)),
    ),
    [true, true, false],
  )
  assert.is(covers('packages/other.ts', 0), false)
})

test('the critical rooms and their tests exist, and no room is hidden by another', () => {
  const testFiles = globSync('tests/**/*.test.ts', { cwd: root, exclude: ['**/node_modules'] })
  for (const { sources, tests } of criticalRooms) {
    assert.ok(globSync(`${sources}**/*.ts`, { cwd: root }).length > 0, sources)
    for (const start of tests)
      assert.ok(
        testFiles.some((file) => file.startsWith(`tests/${start}`)),
        start,
      )
    assert.equal(criticalRooms.filter((room) => sources.startsWith(room.sources)).length, 1, sources)
  }
})

test.run()
