import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { root } from '../support/sst-platform.ts'
import { suite } from '../support/suite.ts'
import { readKeptMutations } from './kept-mutations.ts'
import { applyMutation, type Mutation } from './mutation.ts'
import { runMutations, selectMutations } from './run-mutations.ts'

const test = suite('mutations')
const keptMutations = await readKeptMutations()

const mutation: Mutation = { name: 'one', file: 'a.ts', before: 'min: 2', after: 'min: 0', effect: 'None.' }

test('the text of each kept mutation is found exactly once in its file, and its test files exist', () => {
  const problems = keptMutations.flatMap((each) => {
    try {
      const text = readFileSync(join(root, each.file), 'utf8')
      const missing = each.tests.filter((path) => !existsSync(join(root, 'tests', path)))
      if (missing.length > 0) return [`${each.name}: no test file ${missing.join(', ')}`]
      return applyMutation(text, each) === text ? [`${each.name} changes nothing.`] : []
    } catch (error) {
      return [String(error)]
    }
  })
  assert.is(problems.join('\n'), '')
})

test('each kept mutation has a name of its own and says what it does to a user', () => {
  assert.is(new Set(keptMutations.map(({ name }) => name)).size, keptMutations.length)
  for (const { name, effect } of keptMutations) assert.match(effect, /^.{15,}[.]$/, name)
})

test('a text that is missing, or occurs twice, is an error', () => {
  assert.is(applyMutation('min: 2, max: 2', mutation), 'min: 0, max: 2')
  assert.throws(() => applyMutation('min: 1', mutation), /"one": a\.ts does not contain its text/)
  assert.throws(() => applyMutation('min: 2, min: 2', mutation), /contains its text 2 times/)
})

test('mutations are selected by a part of their name or file', () => {
  const list = [mutation, { ...mutation, name: 'two', file: 'b.sh' }]
  const names = (...texts: string[]) => selectMutations(list, texts).map(({ name }) => name)
  assert.equal([names(), names('tw'), names('a.ts'), names('x')], [['one', 'two'], ['two'], ['one'], []])
})

test('mutations that no test notices, or that cannot be planted, are counted and printed', async () => {
  const lines: string[] = []
  const counts = await runMutations({
    mutations: ['noticed', 'missed', 'lost'].map((name) => ({ ...mutation, name })),
    lanes: [
      async ({ name }) =>
        name === 'lost' ? { problem: 'no text' } : { failedTests: name === 'noticed' ? ['roles › a'] : [] },
    ],
    print: (line) => lines.push(line),
  })
  assert.equal(counts, { planned: 3, killed: 1, survived: 1, problems: 1 })
  assert.equal(lines, [
    '• 1/3 noticed: roles › a',
    '✘ 2/3 missed: no test fails',
    '✘ 3/3 lost: no text',
    '\n✘ No test notices "missed": None.\n  a.ts\n  - min: 2\n  + min: 0',
  ])
})

test('an interrupted run begins no further mutation, and counts none that it interrupted', async () => {
  const stopping = new AbortController()
  const lines: string[] = []
  const counts = await runMutations({
    mutations: ['first', 'second'].map((name) => ({ ...mutation, name })),
    lanes: [
      async () => {
        stopping.abort()
        return { failedTests: ['roles › a'] }
      },
    ],
    print: (line) => lines.push(line),
    signal: stopping.signal,
  })
  assert.equal([counts, lines], [{ planned: 2, killed: 0, survived: 0, problems: 0 }, []])
})

test.run()
