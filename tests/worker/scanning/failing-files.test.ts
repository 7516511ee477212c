import { createFailingFiles } from '@millrace/worker/scanning/failing-files.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('failing files')

test('no file is at fault in an outage, however often it fails', () => {
  const failing = createFailingFiles()
  for (let attempt = 0; attempt < 100; attempt++) {
    for (const key of ['one', 'two', 'three']) assert.is(failing.failed(key), false)
  }
})

test('a file is at fault if the scanner fails on it again after it passed others', () => {
  const failing = createFailingFiles()
  assert.is(failing.failed('bad'), false)
  for (let i = 0; i < 4; i++) failing.passed(`good-${i}`)
  assert.is(failing.failed('bad'), false, 'an overloaded scanner passes some')
  failing.passed('good-4')
  assert.is(failing.failed('bad'), true)
  assert.is(failing.failed('bad'), false, 'nothing passed since')
  for (let i = 0; i < 5; i++) failing.passed(`good-${i}`)
  assert.is(failing.failed('bad'), true)
  assert.is(failing.failed('another'), false, 'it failed for the first time')
})

test('a file that passed after all is not at fault when it fails much later', () => {
  const failing = createFailingFiles()
  failing.failed('file')
  failing.passed('file')
  for (let i = 0; i < 9; i++) failing.passed(`good-${i}`)
  assert.is(failing.failed('file'), false)
})

test('only the newest thousand files are remembered', () => {
  const failing = createFailingFiles()
  for (let i = 0; i < 1001; i++) failing.failed(`file-${i}`)
  for (let i = 0; i < 5; i++) failing.passed(`good-${i}`)
  assert.is(failing.failed('file-1000'), true)
  assert.is(failing.failed('file-0'), false)
})

test.run()
