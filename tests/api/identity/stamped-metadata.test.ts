import { stampedMetadata } from '@millrace/api/identity/stamped-metadata.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('stamped metadata')
const token = { kind: 'token', metadata: { role: 'reader' } } as const
const other = { kind: 'token', metadata: { role: 'admin', album: 'b' } } as const
const current = { metadata: { role: 'reader', title: 'Harbour' }, stamped: ['role'] }

test('metadata of a token wins over that of its bearer', () => {
  assert.equal(stampedMetadata(token, { role: 'admin', title: 'x' }), { role: 'reader', title: 'x' })
  assert.equal(stampedMetadata(token, undefined), { role: 'reader' })
})

test('metadata without a stamp stays as it is, and nothing stays nothing', () => {
  assert.equal(stampedMetadata(null, { a: '1' }), { a: '1' })
  assert.equal(stampedMetadata({ kind: 'key' }, { a: '1' }), { a: '1' })
  assert.is(stampedMetadata(undefined, undefined), undefined)
  assert.is(stampedMetadata({ kind: 'token', metadata: {} }, {}), undefined)
})

test('what was stamped on an upload stays, whichever token or JWT its user has now', () => {
  const changes = [{ role: 'admin', title: 'Sea' }, { title: 'Sea' }]
  for (const caller of [token, other, { kind: 'token' }, { kind: 'jwt' }, null] as const) {
    for (const change of changes) {
      assert.equal(stampedMetadata(caller, change, current), { title: 'Sea', role: 'reader' })
    }
    assert.equal(stampedMetadata(caller, {}, current), { role: 'reader' })
  }
})

test('an API key of the tenant may change what was stamped', () => {
  assert.equal(stampedMetadata({ kind: 'key' }, { role: 'editor' }, current), { role: 'editor' })
  assert.is(stampedMetadata({ kind: 'key' }, {}, current), undefined)
})

test.run()
