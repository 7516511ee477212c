import { once } from 'node:events'
import { chmod, lstat, readdir, readFile, writeFile } from 'node:fs/promises'
import { get } from 'node:http'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import * as assert from 'uvu/assert'
import { createHttpClient } from '../support/http-client.ts'
import { listProcesses } from '../support/process-list.ts'
import { runCommand } from '../support/run-command.ts'
import { announce, formOf, sendForm } from '../support/send-upload.ts'
import { createSandbox, type Sandbox, startWithNpm } from '../support/start-millrace.ts'
import { suite } from '../support/suite.ts'

/** Two starts on the same data, the second after a stop, for all that needs `npm start` as a user runs it. */
const test = suite('npm start', {}, { limitMs: 120_000 })
const programs = join(import.meta.dirname, '../../packages/local/src')
let sandbox: Sandbox
let first: ReturnType<typeof startWithNpm>
let url: string
let cookie = ''

/** Runs one of its commands on the sandbox's data. */
const run = (program: string, ...parameters: string[]) =>
  runCommand(join(programs, program), ['--data', sandbox.directory, ...parameters], { ...process.env })

test.before(async () => {
  sandbox = await createSandbox()
})
test.after(() => sandbox.remove())

test('npm run doctor and npm run reconcile say if Millrace does not run, and what to do', async () => {
  const toDo = `Millrace does not run on ${sandbox.directory}: start it with \`npm start\``
  const doctor = await run('doctor-main.ts')
  assert.equal([doctor.code, doctor.output], [3, ''])
  assert.is(
    doctor.errors,
    `${toDo}, name a stage with --stage, or set BUCKET, REDIS_URL and EVENTS_QUEUE_URL.\n`,
  )
  const reconcile = await run('reconcile-main.ts')
  assert.equal([reconcile.code, reconcile.output], [2, ''])
  assert.is(reconcile.errors, `${toDo}, or set BUCKET, REDIS_URL and the other variables of the services.\n`)
})

type Session = { views: number; servedBy: string }

/** Sends one `GET /session` with the cookie, on a new connection. */
async function getSession(): Promise<Session> {
  const [response] = await once(
    get(new URL('/session', url), { agent: false, headers: cookie ? { cookie } : {} }),
    'response',
  )
  assert.is(response.statusCode, 200)
  let body = ''
  for await (const chunk of response) body += chunk
  const [setCookie]: string[] = response.headers['set-cookie'] ?? []
  cookie = setCookie?.split(';')[0] ?? cookie
  return JSON.parse(body)
}

test('session views are counted across API instances', async () => {
  first = startWithNpm(sandbox, ['--port', '0', '--api', '2', '--verbose'])
  url = await first.ready
  const servedBy = new Set<string>()
  for (let views = 1; views <= 6; views += 1) {
    const session = await getSession()
    assert.is(session.views, views)
    servedBy.add(session.servedBy)
  }
  assert.equal([...servedBy].sort(), ['api-1', 'api-2'])
})

test('npm run doctor checks a running npm start with a small image, and finds nothing wrong', async () => {
  const { code, output, errors } = await run('doctor-main.ts', '--json')
  assert.is(errors, '')
  const report = JSON.parse(output)
  type Finding = { check: string; severity: string; text: string }
  const findings: Finding[] = report.findings
  // A machine of CI may have little space left.
  assert.equal(
    findings.filter(({ check, severity }) => check !== 'disk' && ['warning', 'error'].includes(severity)),
    [],
  )
  assert.is(report.exitCode, code)
  assert.equal(
    [...new Set(findings.map(({ check }) => check))],
    [
      ...['disk', 'presets', 'redis', 'redis-memory', 'redis-clock', 'instances'],
      ...['bucket', 'bucket-versioning', 'bucket-cors', 'bucket-notification', 'bucket-lifecycle'],
      ...['bucket-encryption', 'bucket-public-access', 'queue', 'dead-letters', 'clock'],
      ...['bucket-permissions', 'api-permissions', 'worker-permissions', 'queue-permissions'],
      ...['allocator', 'api', 'upload'],
    ],
  )
  const texts = findings.map(({ text }) => text)
  assert.ok(texts.some((text) => /^A small image went through in \d+\.\d s\.$/.test(text)))
  assert.ok(texts.includes('2 API instances running.') && texts.includes('1 worker running.'))
})

test('npm run doctor prints errors with what mends them, and their number', async () => {
  const { code, output } = await run('doctor-main.ts', '--origin', 'http://127.0.0.1:1')
  assert.is(code, 2)
  assert.match(output, '✖ The API does not answer at http://127.0.0.1:1.\n    Start it')
  // The CORS rules of the bucket, the API and the small image. A machine of CI may have little space left.
  assert.match(output, /\n3 errors(, 1 warning)?\.\n$/)
})

test('npm run reconcile and npm run reprocess reach a running npm start', async () => {
  const reconcile = await run('reconcile-main.ts', '--dry-run')
  assert.equal([reconcile.code, reconcile.errors], [0, ''])
  assert.match(reconcile.output, 'Dry run: 0 would be corrected, nothing was changed.\n')
  const reprocess = await run('reprocess-main.ts', '--dry-run')
  assert.equal([reprocess.code, reprocess.errors], [0, ''])
  assert.match(reprocess.output, /^ +0 {2}manifests were read$/m)
})

/** Returns the files and directories of the data directory, without links, and their modes. */
async function listEntries() {
  const names = ['.', ...(await readdir(sandbox.directory, { recursive: true }))]
  const entries = await Promise.all(
    names.map(async (name) => {
      const path = join(sandbox.directory, name)
      const found = await lstat(path).catch(() => undefined)
      return found && !found.isSymbolicLink() ? [{ name, path, found }] : []
    }),
  )
  return entries.flat()
}

/** Returns what other users may read or write, which should be nothing. */
async function openEntries() {
  const entries = await listEntries()
  for (const name of ['redis', 'logs', 's3']) {
    assert.ok(
      entries.some((entry) => entry.name.startsWith(`${name}/`)),
      `${name} is empty`,
    )
  }
  return entries.filter(({ found }) => found.mode & 0o077).map(({ name }) => name)
}

const readText = (name: string) => readFile(join(sandbox.directory, name), 'utf8')

test('the data of npm start is private, and SIGTERM to npm stops every process', async () => {
  const client = createHttpClient(url, cookie)
  await sendForm(formOf(await announce(client, 9)), new TextEncoder().encode('9 bytes!!'))
  assert.equal(await openEntries(), [])
  first.signal('SIGTERM')
  assert.is((await first.ended).code, 0)
  assert.equal(sandbox.processes(), [])
})

test('data of an earlier version becomes private, and its Redis gets a password that nothing shows', async () => {
  for (const { path, found } of await listEntries()) await chmod(path, found.isDirectory() ? 0o755 : 0o644)
  const { redisPassword, ...earlier } = JSON.parse(await readText('secrets.json'))
  await writeFile(join(sandbox.directory, 'secrets.json'), JSON.stringify(earlier))

  const second = startWithNpm(sandbox, ['--port', '0', '--verbose'])
  url = await second.ready
  assert.is((await getSession()).views, 7, 'sessions outlast a restart')
  assert.equal(await openEntries(), [])
  const { redisPassword: password } = JSON.parse(await readText('secrets.json'))
  assert.is.not(password, redisPassword)
  const { REDIS_URL } = JSON.parse(await readText('services.json'))
  assert.match(REDIS_URL, `redis://:${password}@127.0.0.1:`)
  const stranger = new Redis(REDIS_URL.replace(`:${password}@`, ''), { retryStrategy: () => null })
  stranger.on('error', () => {})
  assert.match(await stranger.ping().catch((error) => error.message), 'NOAUTH')
  stranger.disconnect()
  const commands = listProcesses().map(({ command }) => command)

  // As Ctrl-C in a terminal, which signals npm, its shell and the supervisor at once.
  second.signalGroup('SIGINT')
  await second.ended
  assert.equal(sandbox.processes(), [])
  assert.not.match(second.errors(), 'did not stop')
  assert.match(second.errors(), /Stopping…\n(?:.*\n)*Stopped\.\n/)
  assert.equal(await openEntries(), [])
  const logs = await Promise.all(['logs/api-1.log', 'logs/worker-1.log'].map(readText))
  for (const text of [...commands, ...logs, second.output(), second.errors()]) {
    assert.not(text.includes(password), text)
  }
})

test('npm start passes on the error message and exit code 2', async () => {
  const millrace = startWithNpm(sandbox, ['--port', '0', '--wrong'])
  assert.is((await millrace.ended).code, 2)
  assert.match(millrace.errors(), "Unknown option '--wrong'; see --help.")
})

test.run()
