import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { readLocalSecrets } from '@millrace/local/setup/local-secrets.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('local secrets')
let directory: string

test.before.each(async () => {
  directory = await mkdtemp(join(tmpdir(), 'millrace-secrets-'))
})
test.after.each(() => rm(directory, { recursive: true }))

const file = () => join(directory, 'secrets.json')

test('secrets are random, stay the same, and only their user can read the file', async () => {
  const secrets = await readLocalSecrets(directory)
  assert.equal(await readLocalSecrets(directory), secrets)
  assert.is((await stat(file())).mode & 0o777, 0o600)
  assert.match(secrets.redisPassword, /^[\w-]{40}$/)
  await rm(file())
  const others = await readLocalSecrets(directory)
  for (const name of ['accessKeyId', 'secretAccessKey', 'redisPassword'] as const) {
    assert.is.not(others[name], secrets[name], name)
  }
})

test('the secrets of an earlier version are kept, and get a password of Redis', async () => {
  const { redisPassword, ...earlier } = await readLocalSecrets(directory)
  await writeFile(file(), JSON.stringify(earlier))
  const secrets = await readLocalSecrets(directory)
  const { redisPassword: newPassword, ...kept } = secrets
  assert.equal(kept, earlier)
  assert.match(newPassword, /^[\w-]{40}$/)
  assert.is.not(newPassword, redisPassword)
  assert.equal(await readLocalSecrets(directory), secrets)
})

test('a damaged file is an error that says what to do', async () => {
  for (const text of [
    '',
    '{}',
    '{"accessKeyId":"a","secretAccessKey":"b","sessionKeys":["c"],"redisPassword":"a b"}',
  ]) {
    await writeFile(file(), text)
    const error = await readLocalSecrets(directory).catch((reason) => reason)
    assert.is(error.name, 'StartError')
    assert.match(error.message, 'secrets.json is damaged: delete it')
    assert.is(await readFile(file(), 'utf8'), text)
  }
})

test.run()
