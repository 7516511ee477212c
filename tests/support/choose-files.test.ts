import { existsSync, globSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { slowFiles } from '../slow-files.ts'
import { chooseFiles } from './choose-files.ts'
import { suite } from './suite.ts'

const test = suite('chosen test files')
const found = ['/tests/api/quick.test.ts', '/tests/api/slow.test.ts', '/tests/worker/quick.test.ts']
const slow = { 'api/slow.test.ts': 30 }

test('a run without filters leaves out the slow files', () => {
  const { files, leftOut } = chooseFiles('/tests', found, { filters: [], all: false, slow })
  assert.equal(files, ['/tests/api/quick.test.ts', '/tests/worker/quick.test.ts'])
  assert.is(leftOut, 1)
})

test('a run of all files leaves out none', () => {
  assert.equal(chooseFiles('/tests', found, { filters: [], all: true, slow }), { files: found, leftOut: 0 })
})

test('filters choose slow files as well', () => {
  const { files, leftOut } = chooseFiles('/tests', found, { filters: ['api/', 'none'], all: false, slow })
  assert.equal(files, ['/tests/api/quick.test.ts', '/tests/api/slow.test.ts'])
  assert.is(leftOut, 0)
})

test('all files that need a browser are slow', () => {
  const browser = globSync('browser/*.test.ts', { cwd: join(import.meta.dirname, '..') })
  assert.ok(browser.length > 0)
  assert.equal(
    browser.filter((name) => !Object.hasOwn(slowFiles, name)),
    [],
  )
})

test('each slow file exists', () => {
  const missing = Object.keys(slowFiles).filter((name) => !existsSync(join(import.meta.dirname, '..', name)))
  assert.equal(missing, [])
})

test.run()
