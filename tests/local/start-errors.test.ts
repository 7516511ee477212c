import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startMillrace } from '@millrace/local/millrace.ts'
import { readOptions } from '@millrace/local/options.ts'
import { portOf } from '@millrace/local/setup/tcp-port.ts'
import * as assert from 'uvu/assert'
import { suite } from '../support/suite.ts'

const test = suite('errors of a start')
let directory: string

test.before.each(async () => {
  directory = join(await mkdtemp(join(tmpdir(), 'millrace-errors-')), 'data')
})
test.after.each(() => rm(join(directory, '..'), { recursive: true }))

/** Returns the sentence and the exit code with which a start ends. */
async function problemOf({ port = 0, environment = {} }: { port?: number; environment?: NodeJS.ProcessEnv }) {
  const options = readOptions(['--port', String(port), '--data', directory])
  if (!options) throw new Error('These options do not ask for help.')
  const redisUrl = environment['REDIS_URL']
  const stopping = new AbortController().signal
  const error = await startMillrace({ ...options, environment, redisUrl, print: () => {}, stopping }).then(
    () => undefined,
    (reason) => reason,
  )
  return [error?.name, error?.message, error?.exitCode]
}

test('an origin that cannot be allowed is an error with exit code 2, and nothing is created', async () => {
  assert.equal(await problemOf({ environment: { ALLOWED_ORIGINS: 'http://localhost:5173, *' } }), [
    'StartError',
    'ALLOWED_ORIGINS contains "*"; it must be origins without a path, such as https://app.example.com or http://localhost:5173, or https://*.example.com for all names under a domain of your own, comma separated.',
    2,
  ])
  assert.not(existsSync(directory))
})

test('a port in use is an error before anything is started', async () => {
  const taken = createServer().listen(0, '127.0.0.1')
  await once(taken, 'listening')
  const port = portOf(taken)
  assert.equal(await problemOf({ port }), [
    'StartError',
    `Port ${port} is in use: choose another one with --port, for example npm start -- --port 3001.`,
    1,
  ])
  assert.not(existsSync(join(directory, 'redis')))
  taken.close()
})

test('an unreachable REDIS_URL is an error that does not contain the password, and all is closed again', async () => {
  const [name, sentence, code] = await problemOf({
    environment: { REDIS_URL: 'redis://user:secret@127.0.0.1:1' },
  })
  assert.equal([name, code], ['StartError', 1])
  assert.match(
    sentence,
    /^The Redis server of REDIS_URL \(127\.0\.0\.1:1\) does not respond: connect ECONNREFUSED/,
  )
  assert.not.match(sentence, 'secret')
})

test.run()
