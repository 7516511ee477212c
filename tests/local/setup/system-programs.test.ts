import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { provideProgram, redisProgram } from '@millrace/local/setup/system-programs.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('system programs')
let path: string
let printed: string[]

test.before.each(async () => {
  path = await mkdtemp(join(tmpdir(), 'millrace-path-'))
  printed = []
})

test.after.each(() => rm(path, { recursive: true }))

/** Adds a program to the search path of the test, which is otherwise empty. */
async function addProgram(name: string, script: string) {
  await writeFile(join(path, name), `#!/bin/sh\n${script}\n`)
  await chmod(join(path, name), 0o755)
}

const provide = (isRoot: boolean) =>
  provideProgram(redisProgram, (line) => printed.push(line), { path, isRoot }).catch((reason) => reason)

test('provideProgram returns the preferred program on PATH and installs nothing', async () => {
  for (const name of ['valkey-server', 'redis-server', 'apt-get']) await addProgram(name, 'exit 1')
  assert.is(await provide(true), join(path, 'redis-server'))
  assert.equal(printed, [])
})

test('provideProgram installs a missing program with the package manager and prints one line', async () => {
  await addProgram(
    'apt-get',
    `echo "$@ $DEBIAN_FRONTEND" >> ${path}/calls
    if [ "$1" = install ]; then echo > ${path}/redis-check-rdb; /bin/chmod +x ${path}/redis-check-rdb; fi`,
  )
  assert.is(await provide(true), join(path, 'redis-check-rdb'))
  assert.equal(printed, ['Installing redis-tools with apt-get…'])
  assert.is(
    await readFile(join(path, 'calls'), 'utf8'),
    'update -qq noninteractive\ninstall -y -qq --no-install-recommends redis-tools noninteractive\n',
  )
})

test('provideProgram installs a program although the package lists cannot be updated', async () => {
  await addProgram(
    'apt-get',
    `if [ "$1" = update ]; then exit 100; fi; echo > ${path}/redis-server; /bin/chmod +x ${path}/*`,
  )
  assert.is(await provide(true), join(path, 'redis-server'))
})

test('provideProgram uses sudo if sudo requires no password', async () => {
  await addProgram('apt-get', `echo > ${path}/redis-server; /bin/chmod +x ${path}/redis-server`)
  await addProgram('sudo', `echo "$1 $2 $3" >> ${path}/calls; shift; [ "$1" = true ] || ${path}/"$1"`)
  assert.is(await provide(false), join(path, 'redis-server'))
  assert.match(
    await readFile(join(path, 'calls'), 'utf8'),
    '-n true \n-n apt-get update\n-n apt-get install\n',
  )
})

test('the error contains the exact command if this user cannot install packages', async () => {
  await addProgram('apt-get', `echo called >> ${path}/calls`)
  await addProgram('sudo', 'exit 1')
  const error = await provide(false)
  assert.is(error.name, 'StartError')
  assert.match(
    error.message,
    '`sudo apt-get update -qq && sudo apt-get install -y -qq --no-install-recommends redis-tools`',
  )
  assert.match(error.message, 'or set REDIS_URL to a running Redis.')
  assert.is(await readFile(join(path, 'calls'), 'utf8').catch(() => 'not called'), 'not called')
})

test('the error of a failed installation contains its output', async () => {
  await addProgram('apt-get', 'echo "no space left"; exit 100')
  const error = await provide(true)
  assert.is(error.name, 'StartError')
  assert.match(error.message, 'could not be installed')
  assert.match(error.message, 'exited with code 100')
  assert.match(error.message, 'no space left')
})

test('the error on a machine without a known package manager says what to install', async () => {
  const error = await provide(true)
  assert.is(error.name, 'StartError')
  assert.match(error.message, 'install redis-server, or set REDIS_URL')
})

test.run()
