import { bearerToken } from '@millrace/api/identity/authorize.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('bearer token')

test('the token of a header is all that follows its scheme, without spaces around it', () => {
  const token = 'aZ09._~+/=-'
  for (const header of [`Bearer ${token}`, `Bearer    ${token}  `, `bEARER ${token}`])
    assert.is(bearerToken(header), token, header)
})

test('a header with another scheme, with two tokens or with other characters has no token', () => {
  for (const header of [
    '',
    'Bearer',
    'Bearer ',
    'Bearerabc',
    'Basic abc',
    'abc',
    'Bearer abc def',
    'Bearer abc, Bearer def',
    'Basic x, Bearer abc',
    ' Bearer abc',
    'Bearer a"b',
    'Bearer ä',
    'Bearer a\tb',
  ])
    assert.is(bearerToken(header), '', header)
})

test.run()
