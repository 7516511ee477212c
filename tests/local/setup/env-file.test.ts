import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { loadEnvFile } from '@millrace/local/setup/env-file.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('env file')
const root = join(import.meta.dirname, '../../..')
let directory: string
let file: string

test.before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'millrace-env-'))
  file = join(directory, '.env')
})

test.after(() => rm(directory, { recursive: true }))

async function load(content: string, environment: NodeJS.ProcessEnv = {}) {
  await writeFile(file, content)
  loadEnvFile(environment, file)
  return environment
}

/** Returns the sentence and the exit code of the StartError. */
async function problemOf(content: string) {
  const error = await load(content).catch((reason) => reason)
  assert.is(error.name, 'StartError')
  return [error.message.replace(file, '.env'), error.exitCode]
}

test('variables of .env are added, and those of the environment stay, even empty ones', async () => {
  const content = '# a comment\n\nPORT=3001 # of the console\n export A="1\n2"\nB = \'x y\' \nC=\nD=4\nE=5\n'
  const environment = await load(content, { D: 'own', E: '' })
  assert.equal(environment, { PORT: '3001', A: '1\n2', B: 'x y', C: '', D: 'own', E: '' })
})

test('a missing .env adds nothing', () => {
  const environment = {}
  loadEnvFile(environment, join(directory, 'missing'))
  assert.equal(environment, {})
})

test('a wrong line is named by its number, without its content', async () => {
  const sentence = '.env, line 3 is not a setting: it must be NAME=value, or a comment that begins with #.'
  assert.equal(await problemOf('A=1\n\nsecret\n'), [sentence, 2])
  assert.equal(await problemOf('A="x\ny"\nMY KEY=secret\n'), [sentence, 2])
  assert.equal(await problemOf('A=1\nKEY="secret\nB=2\n'), [
    '.env, line 2: the value of KEY begins with ", but has no " at its end.',
    2,
  ])
})

test('a copy of .env.example changes nothing of npm start', async () => {
  await cp(join(root, '.env.example'), file)
  const environment: NodeJS.ProcessEnv = {}
  loadEnvFile(environment, file)
  assert.equal([environment['HOST'], environment['PORT']], ['127.0.0.1', '3000'])
  // `npm start` has other defaults than the services for these.
  for (const name of [
    'REDIS_URL',
    'BUCKET',
    'ANONYMOUS_UPLOADS',
    'OPEN_ADMIN',
    'WEBHOOK_ALLOWED_NETWORKS',
    'PRESETS_FILE',
    'ALLOWED_HOSTS',
  ]) {
    assert.is(environment[name], '', name)
  }
})

test('all commands read .env, and end with its problem', async () => {
  await writeFile(file, 'wrong\n')
  const commands = [['api-key-main.ts', 'create', 'acme'], ['reconcile-main.ts'], ['reprocess-main.ts']]
  await Promise.all(
    commands.map(async ([program = '', ...parameters]) => {
      const command = [join(root, 'packages/local/src', program), ...parameters]
      const child = spawn(process.execPath, command, { cwd: directory, stdio: ['ignore', 'pipe', 'pipe'] })
      const closed = once(child, 'close')
      const errors = await text(child.stderr)
      assert.match(errors, /^\.env, line 1 is not a setting: [^\n]*\n$/, program)
      assert.equal(await closed, [2, null])
    }),
  )
})

test.run()
