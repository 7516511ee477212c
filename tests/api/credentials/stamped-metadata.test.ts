import { stampedMetadata, stampedNames } from '@millrace/api/credentials/stamped-metadata.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('stamped metadata')
const token = { metadata: { role: 'reader' } }

test('metadata of a token wins over that of its bearer', () => {
  assert.equal(stampedMetadata(token, { role: 'admin', title: 'x' }), { role: 'reader', title: 'x' })
  assert.equal(stampedMetadata(token, undefined), { role: 'reader' })
})

test('metadata without a stamp stays as it is, and nothing stays nothing', () => {
  assert.equal(stampedMetadata(null, { a: '1' }), { a: '1' })
  assert.equal(stampedMetadata({}, { a: '1' }), { a: '1' })
  assert.is(stampedMetadata(undefined, undefined), undefined)
  assert.is(stampedMetadata({ metadata: {} }, {}), undefined)
})

test('what was stamped on an upload stays, whichever token or JWT its user has now', () => {
  const bearer = { scopes: new Set(['uploads:read', 'uploads:write'] as const) }
  for (const caller of [bearer, null]) assert.equal(stampedNames(caller, { stamped: ['role'] }), ['role'])
  assert.equal(stampedNames(bearer, {}), [])
})

test("the tenant's backend may change what was stamped", () => {
  const backend = { scopes: new Set(['uploads:write', 'act-as'] as const) }
  assert.equal(stampedNames(backend, { stamped: ['role'] }), [])
})

test.run()
