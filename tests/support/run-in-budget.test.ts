import * as assert from 'uvu/assert'
import { runInBudget, type Task } from './run-in-budget.ts'
import { suite } from './suite.ts'

const test = suite('run in a budget')

/** Creates tasks that a test ends by name, and records which ones began. */
function createTasks(properties: Record<string, Omit<Task, 'run'>>) {
  const begun: string[] = []
  const ends = new Map<string, () => void>()
  const tasks = Object.entries(properties).map(([name, rest]): Task => {
    const run = () => {
      begun.push(name)
      return new Promise<void>((resolve) => ends.set(name, resolve))
    }
    return { ...rest, run }
  })
  return {
    tasks,
    begun,
    async end(name: string) {
      ends.get(name)?.()
      await new Promise(setImmediate)
    },
  }
}

test('the longest tasks start first, as many as the budget allows', async () => {
  const { tasks, begun, end } = createTasks({
    short: { weight: 1, seconds: 1 },
    long: { weight: 1, seconds: 9 },
    middle: { weight: 1, seconds: 5 },
  })
  const done = runInBudget(tasks, { budget: 2 })
  assert.equal(begun, ['long', 'middle'])
  await end('long')
  assert.equal(begun, ['long', 'middle', 'short'])
  await end('middle')
  await end('short')
  await done
})

test('a heavy task begins when the running ones leave any of the budget, and then none does', async () => {
  const { tasks, begun, end } = createTasks({
    first: { weight: 2, seconds: 9 },
    heavy: { weight: 2, seconds: 8 },
    light: { weight: 1, seconds: 1 },
  })
  const done = runInBudget(tasks, { budget: 3 })
  assert.equal(begun, ['first', 'heavy'])
  await end('heavy')
  assert.equal(begun, ['first', 'heavy', 'light'])
  await end('light')
  await end('first')
  await done
})

test('a task that is heavier than the whole budget runs alone', async () => {
  const { tasks, begun, end } = createTasks({
    heavy: { weight: 5, seconds: 9 },
    light: { weight: 1, seconds: 1 },
  })
  const done = runInBudget(tasks, { budget: 3 })
  assert.equal(begun, ['heavy'])
  await end('heavy')
  assert.equal(begun, ['heavy', 'light'])
  await end('light')
  await done
})

test('no task starts after the signal', async () => {
  const { tasks, begun, end } = createTasks({
    first: { weight: 1, seconds: 9 },
    second: { weight: 1, seconds: 8 },
  })
  const stopping = new AbortController()
  const done = runInBudget(tasks, { budget: 1, signal: stopping.signal })
  stopping.abort()
  await end('first')
  await done
  assert.equal(begun, ['first'])
})

test('an error of a task rejects the run, and no further task starts', async () => {
  const { tasks, begun } = createTasks({ later: { weight: 1, seconds: 1 } })
  const run = () => Promise.reject(new Error('broken'))
  const done = runInBudget([{ weight: 1, seconds: 2, run }, ...tasks], { budget: 1 })
  await done.then(
    () => assert.unreachable(),
    (error: Error) => assert.is(error.message, 'broken'),
  )
  assert.equal(begun, [])
})

test.run()
