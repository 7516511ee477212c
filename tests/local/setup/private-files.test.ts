import { chmod, lstat, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { lockDataDirectory } from '@millrace/local/setup/data-directory.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('private files')
let parent: string
let directory: string

test.before.each(async () => {
  parent = await mkdtemp(join(tmpdir(), 'millrace-private-'))
  directory = join(parent, 'data')
})
test.after.each(() => rm(parent, { recursive: true }))

const modeOf = async (path: string) => ((await lstat(join(directory, path))).mode & 0o7777).toString(8)

async function write(path: string) {
  await mkdir(join(directory, path, '..'), { recursive: true })
  await writeFile(join(directory, path), '')
  await chmod(join(directory, path), 0o644)
}

function lockAndRelease() {
  lockDataDirectory(directory).release()
}

test('a new data directory is for its user only', async () => {
  lockAndRelease()
  assert.is(await modeOf('.'), '700')
})

test('the data directory of an earlier version becomes private, with all files in it', async () => {
  const files = [
    'secrets.json',
    's3/s3.sqlite',
    's3/content/00/x',
    'redis/appendonlydir/a.aof',
    'logs/api-1.log',
  ]
  for (const file of [...files, 'supervisor.lock']) await write(file)
  for (const path of ['.', 's3', 's3/content', 's3/content/00', 'redis', 'logs']) {
    await chmod(join(directory, path), 0o755)
  }
  lockAndRelease()
  for (const path of ['.', 's3', 's3/content', 's3/content/00', 'redis', 'redis/appendonlydir', 'logs']) {
    assert.is(await modeOf(path), '700', path)
  }
  for (const file of files) assert.is(await modeOf(file), '600', file)
})

test('links are not followed out of the data directory', async () => {
  await write('supervisor.lock')
  await write('../program')
  await mkdir(join(directory, 'redis'))
  await symlink(join(parent, 'program'), join(directory, 'redis/redis-server'))
  await symlink(parent, join(directory, 'logs'))
  await chmod(parent, 0o755)
  lockAndRelease()
  assert.is(await modeOf('redis'), '700')
  assert.is(await modeOf('../program'), '644')
  assert.is(await modeOf('..'), '755')
})

test('a directory that contains files of others, or that is shared, keeps its mode, and so do those files', async () => {
  await write('other/file')
  await write('logs/api-1.log')
  await chmod(directory, 0o755)
  lockAndRelease()
  assert.is(await modeOf('.'), '755')
  assert.is(await modeOf('other/file'), '644')
  assert.is(await modeOf('logs/api-1.log'), '600')

  lockAndRelease()
  assert.is(await modeOf('.'), '755')

  await rm(join(directory, 'other'), { recursive: true })
  await chmod(directory, 0o1777)
  lockAndRelease()
  assert.is(await modeOf('.'), '1777')
})

test.run()
