import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { applyMutation } from '../../mutations/mutation.ts'
import { root } from '../../support/sst-platform.ts'
import { suite } from '../../support/suite.ts'
import { mutations } from './mutation-list.ts'

const test = suite('mutations of stacks/')

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

test.run()
