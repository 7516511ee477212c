import { chmod, lstat, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import * as assert from 'uvu/assert'
import { createHttpClient } from '../support/http-client.ts'
import { listProcesses } from '../support/process-list.ts'
import { announce, formOf, sendForm } from '../support/send-upload.ts'
import { createSandbox, type Sandbox, startWithNode } from '../support/start-millrace.ts'
import { suite } from '../support/suite.ts'

const test = suite('private data', {}, { limitMs: 90_000 })
const parameters = ['--port', '0', '--workers', '1..2', '--verbose']
let sandbox: Sandbox

test.before.each(async () => {
  sandbox = await createSandbox()
})
test.after.each(() => sandbox.remove())

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
    assert.ok(entries.some((entry) => entry.name.startsWith(`${name}/`), `${name} is not empty`))
  }
  return entries.filter(({ found }) => found.mode & 0o077).map(({ name }) => name)
}

const readText = (name: string) => readFile(join(sandbox.directory, name), 'utf8')

test('the data of npm start is private, also that of an earlier version, and its Redis has a password', async () => {
  const first = startWithNode(sandbox, parameters)
  const client = createHttpClient(await first.ready)
  await sendForm(formOf(await announce(client, 9)), new TextEncoder().encode('9 bytes!!'))
  assert.equal(await openEntries(), [])
  first.signal('SIGTERM')
  await first.ended

  // As an earlier version has left it.
  for (const { path, found } of await listEntries()) await chmod(path, found.isDirectory() ? 0o755 : 0o644)
  const { redisPassword, ...earlier } = JSON.parse(await readText('secrets.json'))
  await writeFile(join(sandbox.directory, 'secrets.json'), JSON.stringify(earlier))

  const second = startWithNode(sandbox, parameters)
  const again = createHttpClient(await second.ready, client.cookie)
  assert.is((await again.get('/uploads')).status, 200)
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
  second.signal('SIGTERM')
  await second.ended
  assert.equal(await openEntries(), [])
  const logs = await Promise.all(['logs/api-1.log', 'logs/worker-1.log'].map(readText))
  for (const text of [...commands, ...logs, second.output(), second.errors()]) {
    assert.not(text.includes(password), text)
  }
})

test.run()
