import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { root } from '../../support/sst-platform.ts'
import { suite } from '../../support/suite.ts'
import { applyMutation, type Mutation } from './mutation.ts'
import { mutations } from './mutation-list.ts'
import { runMutations, selectMutations } from './run-mutations.ts'

const test = suite('mutations of stacks/')

const mutation: Mutation = { name: 'one', file: 'a.ts', before: 'min: 2', after: 'min: 0', effect: 'None.' }

test('the text of each mutation is found exactly once in its file', () => {
  const problems = mutations.flatMap((each) => {
    try {
      const text = readFileSync(join(root, each.file), 'utf8')
      return applyMutation(text, each) === text ? [`${each.name} changes nothing.`] : []
    } catch (error) {
      return [String(error)]
    }
  })
  assert.is(problems.join('\n'), '')
})

test('each mutation has a name of its own and says what it does to a user', () => {
  assert.is(new Set(mutations.map(({ name }) => name)).size, mutations.length)
  for (const { name, effect } of mutations) assert.match(effect, /^.{15,}[.]$/, name)
})

test('every file of stacks/ has a mutation', () => {
  const files = globSync('stacks/*.{ts,sh}', { cwd: root })
  assert.equal(
    files.filter((file) => !mutations.some((each) => each.file === file)),
    [],
  )
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
  const failures = await runMutations({
    mutations: ['noticed', 'missed', 'lost'].map((name) => ({ ...mutation, name })),
    lanes: [
      async ({ name }) =>
        name === 'lost' ? { problem: 'no text' } : { failedTests: name === 'noticed' ? ['roles › a'] : [] },
    ],
    print: (line) => lines.push(line),
  })
  assert.is(failures, 2)
  assert.equal(lines, [
    '• noticed: roles › a',
    '✘ missed: no test fails',
    '✘ lost: no text',
    '\n✘ No test notices "missed": None.\n  a.ts\n  - min: 2\n  + min: 0',
    '\n1 of 3 mutations make a test fail',
  ])
})

test('an interrupted run begins no further mutation and fails', async () => {
  const stopping = new AbortController()
  const lines: string[] = []
  const failures = await runMutations({
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
  assert.equal([failures, lines], [1, ['✘ The run was interrupted.']])
})

test.run()
