import { cacheByText } from '@millrace/api/limits/text-cache.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('cache of addresses and callers')

/** The longest IPv6 address, with a zone of 18 characters. */
const longest = `${'ffff:'.repeat(6)}255.255.255.255%${'z'.repeat(18)}`

test('texts of up to 64 characters are cached, and a longer text that a proxy sends as an address takes no memory', () => {
  assert.is(longest.length, 64)
  const find = cacheByText((text) => ({ text }))
  for (const text of ['', '192.0.2.1', longest]) {
    assert.equal(find(text), { text })
    assert.is(find(text), find(text), text)
  }
  const longer = `${longest}z`
  assert.equal(find(longer), { text: longer })
  assert.is.not(find(longer), find(longer))
})

test('the cache has the 5,000 texts that were used last', () => {
  const find = cacheByText((text) => ({ text }))
  const [first, second] = [find('0'), find('1')]
  for (let n = 2; n < 5_000; n++) find(String(n))
  assert.is(find('0'), first)
  find('5000')
  assert.is(find('0'), first)
  assert.is.not(find('1'), second)
})

test.run()
