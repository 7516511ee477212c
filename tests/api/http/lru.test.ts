import { createLru } from '@millrace/api/http/lru.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('recent values')

test('keeps what is asked for, and never more than twice the limit', () => {
  const values = createLru<number>(10)
  values.keep('asked for', -1)
  for (let index = 0; index < 1000; index++) {
    values.keep(`key ${index}`, index)
    if (index % 5 === 0) assert.is(values.find('asked for'), -1)
  }
  const kept = Array.from({ length: 1000 }, (_, index) => values.find(`key ${index}`))
  assert.is(kept.at(-1), 999)
  assert.ok(kept.filter((value) => value !== undefined).length <= 20)
  assert.is(values.find('never kept'), undefined)
})

test.run()
