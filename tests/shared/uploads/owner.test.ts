import {
  Owner,
  TenantName,
  tenantKey,
  tenantKeyOf,
  userOwner,
  userOwnerPrefix,
} from '@millrace/shared/uploads/owner.ts'
import { Compile } from 'typebox/compile'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('owner')
const owner = Compile(Owner)
const tenantName = Compile(TenantName)

test('a user is always the same owner, whatever its id, and the id is not in it', () => {
  for (const user of ['42', 'anna@example.com', '../acme', '💡'.repeat(64), 'a'.repeat(256), '\n', ' ']) {
    const first = userOwner('acme', user)
    assert.is(userOwner('acme', user), first)
    assert.ok(owner.Check(first), first)
    assert.ok(first.startsWith(userOwnerPrefix('acme')))
    assert.is(tenantKeyOf(first), tenantKey('acme'))
  }
})

test('users of one id in two tenants, and two users of one tenant, are different owners', () => {
  assert.is.not(userOwner('acme', '42'), userOwner('other', '42'))
  assert.is.not(userOwner('acme', '42'), userOwner('acme', '43'))
  // The parts of the hashed text cannot run into each other.
  assert.is.not(userOwner('acme', 'x42'), userOwner('acmex', '42'))
})

test('a tenant owns what it uploads itself, and a session belongs to no tenant', () => {
  assert.is(tenantKeyOf('acme'), tenantKey('acme'))
  assert.is(tenantKeyOf(`s-${'0'.repeat(32)}`), undefined)
})

test('no tenant has a name that could be the owner of a session or of a user', () => {
  for (const name of ['s-acme', 'u-acme', 's-', userOwner('acme', '42'), '-acme', 'Acme', '', 'a'.repeat(64)])
    assert.not(tenantName.Check(name), name)
  for (const name of ['acme', 'sales', 'u2', 's3-team', 'a'.repeat(63)])
    assert.ok(tenantName.Check(name), name)
})

test.run()
