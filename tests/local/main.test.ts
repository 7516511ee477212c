import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { allGone } from '../support/process-list.ts'
import { createSandbox, type Sandbox, startWithNode } from '../support/start-millrace.ts'
import { suite } from '../support/suite.ts'

const test = suite('main', {}, { limitMs: 60_000 })
let sandbox: Sandbox

test.before.each(async () => {
  sandbox = await createSandbox()
})

test.after.each(() => sandbox.remove())

/**
 * Runs main.ts until it exits. Asserts that it prints on stderr only and leaves no process.
 * @returns the lines and the exit code
 */
async function startErrors(parameters: string[], environment: NodeJS.ProcessEnv = {}) {
  const millrace = startWithNode(sandbox, parameters, environment)
  const { code } = await millrace.ended
  assert.is(millrace.output(), '')
  assert.equal(sandbox.processes(), [])
  return { code, lines: millrace.errors().trimEnd().split('\n') }
}

/** As `startErrors`, and asserts that it prints one sentence. */
async function startError(parameters: string[], environment: NodeJS.ProcessEnv = {}) {
  const { code, lines } = await startErrors(parameters, environment)
  assert.is(lines.length, 1, lines.join('\n'))
  return { code, sentence: lines[0] ?? '' }
}

test('--help prints the options', async () => {
  const millrace = startWithNode(sandbox, ['--help'])
  assert.is((await millrace.ended).code, 0)
  assert.match(millrace.output(), '--workers N')
  assert.match(millrace.output(), 'print this text and exit')
})

test('an unknown option is an error with exit code 2', async () => {
  const { code, sentence } = await startError(['--wrong'])
  assert.is(sentence, "Unknown option '--wrong'; see --help.")
  assert.is(code, 2)
})

test('a positional argument is an error with exit code 2', async () => {
  const { code, sentence } = await startError(['api'])
  assert.match(sentence, "Unexpected argument 'api'")
  assert.is(code, 2)
})

test('an origin that cannot be allowed is an error with exit code 2', async () => {
  const { code, sentence } = await startError(['--port', '0'], {
    ALLOWED_ORIGINS: 'http://localhost:5173, *',
  })
  assert.match(sentence, 'ALLOWED_ORIGINS contains "*"; it must be origins without a path')
  assert.is(code, 2)
})

test('wrong settings, also those of .env, are one sentence each before anything is started', async () => {
  const secret = 'tenant/uploads:read/secret'
  await writeFile(join(sandbox.directory, '.env'), `API_KEYS=${secret}\nQUOTA_BYTES_TOTAL=lots\nFFMPEG=off\n`)
  const { code, lines } = await startErrors(['--port', '0'], {
    PRESETS: '[{"name":"a","variants":[{"name":"b","width":0,"format":"webp"}]}]',
    MAX_IMAGE_PIXELS: 'many',
    FFMPEG: 'not/absolute',
  })
  assert.is(code, 2)
  assert.is(lines.length, 5, lines.join('\n'))
  for (const name of [
    'API_KEYS',
    'QUOTA_BYTES_TOTAL',
    'PRESETS[0].variants[0]',
    'MAX_IMAGE_PIXELS',
    'FFMPEG',
  ]) {
    assert.is(lines.filter((line) => line.startsWith(name)).length, 1, lines.join('\n'))
  }
  assert.not.match(lines.join(), secret)
  assert.not(existsSync(join(sandbox.directory, 'secrets.json')))
})

test('HOST of .env is the address to listen on, and HOST of the environment is ignored', async () => {
  const environment = { PATH: '/nonexistent', HOST: 'not-an-address.invalid' }
  // Listening comes before Redis.
  assert.match((await startError(['--port', '0'], environment)).sentence, 'A Redis server is required')
  await writeFile(join(sandbox.directory, '.env'), 'HOST=192.0.2.1\n')
  const { sentence } = await startError(['--port', '0'], environment)
  assert.match(sentence, '192.0.2.1 is not an address of this machine')
})

test('a port in use is an error before anything is started', async () => {
  const taken = createServer().listen(0, '127.0.0.1')
  await once(taken, 'listening')
  const address = taken.address()
  assert.ok(address && typeof address === 'object')
  const { code, sentence } = await startError(['--port', String(address.port)])
  assert.match(sentence, `Port ${address.port} is in use: choose another one with --port`)
  assert.is(code, 1)
  assert.not(existsSync(join(sandbox.directory, 'redis')))
  taken.close()
})

test('an unreachable REDIS_URL is an error that does not contain the password', async () => {
  const { code, sentence } = await startError(['--port', '0'], {
    REDIS_URL: 'redis://user:secret@127.0.0.1:1',
  })
  assert.match(sentence, 'The Redis server of REDIS_URL (127.0.0.1:1) does not respond')
  assert.not.match(sentence, 'secret')
  assert.is(code, 1)
})

test('a missing Redis that cannot be installed is an error', async () => {
  const { code, sentence } = await startError(['--port', '0'], { PATH: '/nonexistent' })
  assert.match(sentence, 'A Redis server is required but not on PATH')
  assert.match(sentence, 'REDIS_URL')
  assert.is(code, 1)
})

test('a data directory that cannot be used is an error', async () => {
  const { code, sentence } = await startError(['--port', '0', '--data', '/proc/millrace'])
  assert.match(sentence, 'The data directory /proc/millrace cannot be created: ENOENT')
  assert.is(code, 1)
})

test('start prints the addresses at any log level, refuses a second start on the same data, and SIGTERM stops every process', async () => {
  await writeFile(join(sandbox.directory, '.env'), 'PORT=0\nLOG_LEVEL=silent\n')
  const millrace = startWithNode(sandbox)
  const url = await millrace.ready
  assert.is((await fetch(new URL('/health', url))).status, 200)
  const pageStatus = new Map<string, number>()
  for (const page of ['/', '/docs', '/console/fleet']) {
    pageStatus.set(page, (await fetch(new URL(page, url))).status)
  }

  const second = startWithNode(sandbox)
  assert.is((await second.ended).code, 1)
  assert.match(second.errors(), `Millrace already runs on ${sandbox.directory} (process `)

  millrace.signal('SIGTERM')
  assert.equal(await millrace.ended, { code: 0, signal: null })
  assert.equal(sandbox.processes(), [])
  const [readyLine, ...rest] = millrace.output().split('\n')
  assert.is(readyLine, `Millrace is ready: ${url}`)
  assert.is(
    rest.join('\n'),
    `
  Console            ${url}
  API                ${url}
  API documentation  ${url}/docs
  Fleet              ${url}/fleet
  Files are kept in  ${sandbox.directory}

Press Ctrl-C to stop. The files are kept.
`,
  )
  for (const page of ['/', '/docs', '/console/fleet']) assert.is(pageStatus.get(page), 200, page)
  assert.is(millrace.errors(), 'Stopping…\nStopped.\n')
})

test('SIGINT during a start stops every process', async () => {
  const millrace = startWithNode(sandbox, ['--port', '0', '--verbose'])
  while (!millrace.errors().includes('api-1')) await millrace.moreErrors()
  millrace.signal('SIGINT')
  assert.equal(await millrace.ended, { code: 0, signal: null })
  assert.match(millrace.errors(), /Stopping…\n(?:.*\n)*Stopped\.\n$/)
  assert.equal(sandbox.processes(), [])
})

test('after SIGKILL no process remains, and the next start uses the same data', async () => {
  const first = startWithNode(sandbox, ['--port', '0'])
  await first.ready
  first.signal('SIGKILL')
  await allGone(sandbox.mark)

  const second = startWithNode(sandbox, ['--port', '0'])
  const url = await second.ready
  assert.is((await fetch(new URL('/ready', url))).status, 200)
  second.signal('SIGTERM')
  assert.is((await second.ended).code, 0)
})

test.run()
