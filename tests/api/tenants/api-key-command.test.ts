import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
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

test('npm run api-key refuses wrong options with one sentence and its usage', async () => {
  const service = join(import.meta.dirname, '../../../packages/api/src/api-key-main.ts')
  const problems = await Promise.all(
    [
      ['create', '--tenant', 'acme', '--scope', 'root'],
      ['create', '--tenant', 'acme', '--expires-in', 'soon'],
      ['drop', '--tenant', 'acme'],
    ].map(async (parameters) => {
      const { code, output, errors } = await runCommand(service, parameters, { ...process.env })
      const [sentence, usage] = errors.split('\n\n')
      assert.match(usage ?? '', /^Usage: npm run api-key -- create/)
      return [code, output, sentence]
    }),
  )
  assert.equal(problems, [
    [
      2,
      '',
      'A tenant has up to 63 lower-case letters, digits and dashes, and does not begin with a dash, "s-" or "u-". Scopes are listed below.',
    ],
    [2, '', '--expires-in must be a number of seconds.'],
    [2, '', 'The command must be create, list or revoke.'],
  ])
})

test.run()
