import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { withFileLock } from './file-lock.ts'
import { suite } from './suite.ts'

const test = suite('lock on a file')

let directory: string
let path: string

test.before.each(async () => {
  directory = await mkdtemp(join(tmpdir(), 'millrace-lock-'))
  path = join(directory, 'below/work.lock')
})
test.after.each(() => rm(directory, { recursive: true }))

test('works that take the same lock run one after another, also after one that has failed', async () => {
  const steps: string[] = []
  const turn = Promise.withResolvers<void>()
  const first = withFileLock(path, async () => {
    steps.push('first begins')
    await turn.promise
    steps.push('first fails')
    throw new Error('It fails.')
  }).catch((error: Error) => steps.push(error.message))
  const second = withFileLock(path, async () => steps.push('second begins'))
  await new Promise(setImmediate)
  turn.resolve()
  await Promise.all([first, second])
  assert.equal(steps, ['first begins', 'first fails', 'It fails.', 'second begins'])
})

test('the lock of a killed process is free', async () => {
  const lock = new URL('file-lock.ts', import.meta.url).href
  const source = `import { withFileLock } from ${JSON.stringify(lock)}
    await withFileLock(${JSON.stringify(path)}, async () => {
      console.log('locked')
      setInterval(() => {}, 1_000)
      await new Promise(() => {})
    })`
  const child = spawn(process.execPath, ['--input-type=module', '-e', source], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await once(child.stdout, 'data')
  let isFree = false
  const locked = withFileLock(path, async () => {
    isFree = true
  })
  await new Promise(setImmediate)
  assert.not(isFree)
  child.kill('SIGKILL')
  await locked
  assert.ok(isFree)
})

test.run()
