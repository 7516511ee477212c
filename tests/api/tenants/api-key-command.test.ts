import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { runApiKeyCommand } from '@millrace/api/api-key-command.ts'
import { readApiKeys } from '@millrace/api/credentials/api-keys.ts'
import { writeServiceEnvironment } from '@millrace/local/setup/service-environment.ts'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { createHttpClient } from '../../support/http-client.ts'
import { runCommand } from '../../support/run-command.ts'
import { suite } from '../../support/suite.ts'
import { until } from '../../support/until.ts'

const test = suite('npm run api-key', {}, { limitMs: 120_000 })
const program = join(import.meta.dirname, '../../../packages/local/src/api-key-main.ts')
let api: ApiInstances
let directory: string

test.before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'millrace-api-key-'))
  api = await startApiInstances()
  await writeServiceEnvironment(directory, api.environment)
})
test.after(async () => {
  await api.close()
  await rm(directory, { recursive: true })
})

const run = (...parameters: string[]) =>
  runCommand(program, [...parameters, '--data', directory], { ...process.env })

/** Uses a key until the response has this status. The message only makes the API list sooner than every 5 s. */
async function useUntil(status: number, key: string): Promise<void> {
  await api.redis.publish(`${api.prefix}:api-keys`, '')
  const headers = { authorization: `Bearer ${key}` }
  await until(async () => (await createHttpClient(api.url).get('/uploads', { headers })).status === status)
}

test('npm run api-key creates, lists and revokes keys of a running npm start', async () => {
  const created = await run('create', '--tenant', 'acme', '--description', 'the shop', '--expires-in', '3600')
  assert.equal([created.code, created.errors], [0, ''])
  const [, key = ''] = /Key, shown only now: +(mr_\S{43})\n/.exec(created.output) ?? []
  const [id = ''] = /key-[0-9a-f]{32}/.exec(created.output) ?? []
  await useUntil(200, key)

  const listed = await run('list', '--tenant', 'acme')
  assert.is(listed.code, 0)
  const line = new RegExp(
    `^${id}  uploads:read\\+uploads:write  created (\\S+Z) by command  expires (\\S+Z)  the shop\n$`,
  )
  const [, createdAt = '', expiresAt = ''] = line.exec(listed.output) ?? []
  const lifeMs = Date.parse(expiresAt) - Date.parse(createdAt)
  // The command determines the end first.
  assert.ok(lifeMs <= 3_600_000 && lifeMs > 3_540_000, listed.output)
  assert.equal(await run('revoke', '--tenant', 'acme', id), {
    code: 0,
    output: `Revoked ${id}.\n`,
    errors: '',
  })
  await useUntil(401, key)
})

/** Runs the command in this process. It reads no settings: it prints an entry, or refuses the command line. */
async function runHere(...parameters: string[]) {
  const printed = { output: '', errors: '' }
  const code = await runApiKeyCommand(parameters, {
    environment: {},
    print: (text) => {
      printed.output += text
    },
    printError: (text) => {
      printed.errors += text
    },
  })
  return { code, ...printed }
}

test('npm run api-key without a tenant prints an entry for API_KEYS, by default of a key that reads and writes', async () => {
  const { code, output, errors } = await runHere('create', 'acme')
  assert.equal([code, errors], [0, ''])
  const [, entry = ''] = /API_KEYS: +(\S+)/.exec(output) ?? []
  assert.equal([...(readApiKeys(entry)[0]?.scopes ?? [])], ['uploads:read', 'uploads:write'])
})

test('npm run api-key refuses a wrong command line with one sentence, its usage and exit code 2', async () => {
  const name =
    'A tenant has up to 63 lower-case letters, digits and dashes, and does not begin with a dash, "s-" or "u-". Scopes are listed below.'
  const cases: [sentence: string, ...parameters: string[]][] = [
    [name, 'create', '--tenant', 'acme', '--scope', 'root'],
    ['--expires-in must be a number of seconds.', 'create', '--tenant', 'acme', '--expires-in', 'soon'],
    ['The command must be create, list or revoke.', 'drop', '--tenant', 'acme'],
    ['A tenant is missing.'],
    ['A tenant is missing.', 'create'],
    [name, 'create', 's-1'],
    [name, 'create', 'A'],
    [name, 'create', 'a', 'root'],
    ['A tenant is missing.', 'drop', 'a'],
  ]
  for (const [expected, ...parameters] of cases) {
    const { code, output, errors } = await runHere(...parameters)
    const [sentence, usage] = errors.split('\n\n')
    assert.equal([code, output, sentence], [2, '', expected], parameters.join(' '))
    assert.match(usage ?? '', /^Usage: npm run api-key -- create/)
  }
  // As the process that people start.
  const service = join(import.meta.dirname, '../../../packages/api/src/api-key-main.ts')
  const ended = await runCommand(service, ['drop', 'a'], { ...process.env })
  assert.equal(ended, await runHere('drop', 'a'))
})

test.run()
