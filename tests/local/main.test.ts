import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { allGone } from '../support/process-list.ts'
import { createPlace, mainStart, type Place } from '../support/start-millrace.ts'
import { suite } from '../support/suite.ts'

const test = suite('main', {}, { limitMs: 60_000 })
let place: Place

test.before.each(async () => {
  place = await createPlace()
})

test.after.each(() => place.remove())

/** Runs main to its end, which must be a refusal: one sentence, nothing printed, nothing left running. */
async function refusal(parameters: string[], environment: NodeJS.ProcessEnv = {}) {
  const millrace = mainStart(place, parameters, environment)
  const { code } = await millrace.ended
  assert.is(millrace.output(), '')
  assert.equal(place.processes(), [])
  const lines = millrace.errors().trimEnd().split('\n')
  assert.is(lines.length, 1, millrace.errors())
  return { code, sentence: lines[0] ?? '' }
}

test('prints its options', async () => {
  const millrace = mainStart(place, ['--help'])
  assert.is((await millrace.ended).code, 0)
  assert.match(millrace.output(), '--workers N')
})

test('refuses a flag that it does not know', async () => {
  const { code, sentence } = await refusal(['--wrong'])
  assert.is(sentence, "Unknown option '--wrong'; --help lists the options.")
  assert.is(code, 2)
})

test('refuses an argument that is no flag', async () => {
  const { code, sentence } = await refusal(['api'])
  assert.match(sentence, "Unexpected argument 'api'")
  assert.is(code, 2)
})

for (const [flag, value] of [
  ['--api', '0'],
  ['--api', '-1'],
  ['--api', '1.5'],
  ['--workers', 'many'],
  ['--workers', '0'],
  ['--workers', '4..1'],
  ['--workers', '1..33'],
  ['--workers', '1..'],
  ['--api', '0..2'],
  ['--speed', '0'],
  ['--port', '65536'],
  ['--port', ''],
] as const) {
  test(`refuses ${flag} ${value || '(nothing)'}`, async () => {
    const { code, sentence } = await refusal([`${flag}=${value}`])
    assert.match(
      sentence,
      new RegExp(
        `^${flag} takes a whole number from \\d+ to \\d+(, or two of them as in 1..4)?, not "${value}"\\.$`,
      ),
    )
    assert.is(code, 2)
  })
}

test('refuses a port in use before it starts anything', async () => {
  const taken = createServer().listen(0, '127.0.0.1')
  await once(taken, 'listening')
  const address = taken.address()
  assert.ok(address && typeof address === 'object')
  const { code, sentence } = await refusal(['--port', String(address.port)])
  assert.match(sentence, `Port ${address.port} is in use: choose another one with --port`)
  assert.is(code, 1)
  assert.not(existsSync(join(place.directory, 'redis')))
  taken.close()
})

test('refuses a REDIS_URL that does not answer, without its password', async () => {
  const startedAt = performance.now()
  const { code, sentence } = await refusal(['--port', '0'], { REDIS_URL: 'redis://user:secret@127.0.0.1:1' })
  assert.match(sentence, 'The Redis of REDIS_URL (127.0.0.1:1) does not answer')
  assert.not.match(sentence, 'secret')
  assert.is(code, 1)
  assert.ok(performance.now() - startedAt < 10_000)
})

test('refuses to run without Redis where it cannot install one', async () => {
  const { code, sentence } = await refusal(['--port', '0'], { PATH: '/nonexistent' })
  assert.match(sentence, 'A Redis server is needed but none is on PATH')
  assert.match(sentence, 'REDIS_URL')
  assert.is(code, 1)
})

test('refuses a data directory that cannot be made', async () => {
  const directory = join(place.directory, 'file/within')
  await writeFile(join(place.directory, 'file'), '')
  const { code, sentence } = await refusal(['--port', '0', '--data', directory])
  assert.match(sentence, `The data directory ${directory} cannot be made: ENOTDIR`)
  assert.is(code, 1)
})

test('stops everything that it started, and a second one is refused meanwhile', async () => {
  const millrace = mainStart(place, ['--port', '0'])
  const url = await millrace.ready
  assert.is((await fetch(new URL('/health', url))).status, 200)

  const second = mainStart(place, ['--port', '0'])
  assert.is((await second.ended).code, 1)
  assert.match(second.errors(), `Millrace already runs on ${place.directory} (process `)

  millrace.signal('SIGTERM')
  assert.equal(await millrace.ended, { code: 0, signal: null })
  assert.equal(place.processes(), [])
  assert.is(millrace.output(), `Millrace is ready: ${url}\n`)
  assert.is(millrace.errors(), '')
})

test('stops in the middle of a start', async () => {
  const millrace = mainStart(place, ['--port', '0', '--verbose'])
  while (!millrace.errors().includes('api-1')) await millrace.moreErrors()
  millrace.signal('SIGINT')
  assert.equal(await millrace.ended, { code: 0, signal: null })
  assert.equal(place.processes(), [])
})

test('leaves nothing behind when it is killed, and starts again on the same data', async () => {
  const first = mainStart(place, ['--port', '0'])
  await first.ready
  first.signal('SIGKILL')
  await allGone(place.mark)

  const second = mainStart(place, ['--port', '0'])
  const url = await second.ready
  assert.is((await fetch(new URL('/ready', url))).status, 200)
  second.signal('SIGTERM')
  assert.is((await second.ended).code, 0)
})

test.run()
