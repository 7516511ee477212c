import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { provideProgram, redisProgram } from '@millrace/local/setup/system-programs.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('system programs')
let path: string
let said: string[]

test.before.each(async () => {
  path = await mkdtemp(join(tmpdir(), 'millrace-path-'))
  said = []
})

test.after.each(() => rm(path, { recursive: true }))

/** Puts a program on the search path of the test, which holds no other. */
async function place(name: string, script: string) {
  await writeFile(join(path, name), `#!/bin/sh\n${script}\n`)
  await chmod(join(path, name), 0o755)
}

const provide = (isRoot: boolean) =>
  provideProgram(redisProgram, (line) => said.push(line), { path, isRoot }).catch((reason) => reason)

test('takes the best name on the search path, and installs nothing', async () => {
  for (const name of ['valkey-server', 'redis-server', 'apt-get']) await place(name, 'exit 1')
  assert.is(await provide(true), join(path, 'redis-server'))
  assert.equal(said, [])
})

test('installs with the package manager, and says so in one line', async () => {
  await place(
    'apt-get',
    `echo "$@ $DEBIAN_FRONTEND" >> ${path}/calls
    if [ "$1" = install ]; then echo > ${path}/redis-check-rdb; /bin/chmod +x ${path}/redis-check-rdb; fi`,
  )
  assert.is(await provide(true), join(path, 'redis-check-rdb'))
  assert.equal(said, ['Installing redis-tools with apt-get…'])
  assert.is(
    await readFile(join(path, 'calls'), 'utf8'),
    'update -qq noninteractive\ninstall -y -qq --no-install-recommends redis-tools noninteractive\n',
  )
})

test('installs although the package lists cannot be renewed', async () => {
  await place(
    'apt-get',
    `if [ "$1" = update ]; then exit 100; fi; echo > ${path}/redis-server; /bin/chmod +x ${path}/*`,
  )
  assert.is(await provide(true), join(path, 'redis-server'))
})

test('uses sudo where it asks for no password', async () => {
  await place('apt-get', `echo > ${path}/redis-server; /bin/chmod +x ${path}/redis-server`)
  await place('sudo', `echo "$1 $2 $3" >> ${path}/calls; shift; [ "$1" = true ] || ${path}/"$1"`)
  assert.is(await provide(false), join(path, 'redis-server'))
  assert.match(
    await readFile(join(path, 'calls'), 'utf8'),
    '-n true \n-n apt-get update\n-n apt-get install\n',
  )
})

test('names the exact command where this user may not install', async () => {
  await place('apt-get', `echo called >> ${path}/calls`)
  await place('sudo', 'exit 1')
  const error = await provide(false)
  assert.is(error.name, 'StartError')
  assert.match(
    error.message,
    '`sudo apt-get update -qq && sudo apt-get install -y -qq --no-install-recommends redis-tools`',
  )
  assert.match(error.message, 'or set REDIS_URL to a Redis that runs already.')
  assert.is(await readFile(join(path, 'calls'), 'utf8').catch(() => 'not called'), 'not called')
})

test('shows why an installation failed', async () => {
  await place('apt-get', 'echo "no space left"; exit 100')
  const error = await provide(true)
  assert.is(error.name, 'StartError')
  assert.match(error.message, 'could not be installed')
  assert.match(error.message, 'ended with code 100')
  assert.match(error.message, 'no space left')
})

test('says what to do on a machine without a known package manager', async () => {
  const error = await provide(true)
  assert.is(error.name, 'StartError')
  assert.match(error.message, 'install redis-server, or set REDIS_URL')
})

test.run()
