import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { lockDataDirectory } from '@millrace/local/setup/data-directory.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('data directory')
let directory: string

test.before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'millrace-data-'))
})

test.after(() => rm(directory, { recursive: true }))

function problemOf(path: string): string {
  try {
    lockDataDirectory(path).release()
  } catch (error) {
    assert.is(Object(error).name, 'StartError')
    return Object(error).message
  }
  return ''
}

test('a data directory that cannot be used is an error that says why', async () => {
  const file = join(directory, 'file')
  await writeFile(file, '')
  for (const [path, problem] of [
    [file, 'is a file: choose another one with --data.'],
    [join(file, 'within'), 'cannot be created: ENOTDIR'],
    // Node's own recursive mkdir never returns here.
    ...(process.platform === 'linux'
      ? [
          ['/proc/millrace', 'cannot be created: ENOENT'],
          ['/proc/self', 'cannot be written to: '],
        ]
      : []),
  ] as const) {
    assert.ok(problemOf(path).startsWith(`The data directory ${path} ${problem}`), problemOf(path))
  }
})

test('a data directory is created with its parents, and free again after its release', () => {
  const path = join(directory, 'a/b')
  assert.is(problemOf(path), '')
  assert.is(problemOf(path), '')
})

test.run()
