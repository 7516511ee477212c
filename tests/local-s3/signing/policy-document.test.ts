import { S3Error } from '@millrace/local-s3/protocol/s3-error.ts'
import { parsePolicyDocument } from '@millrace/local-s3/signing/policy-document.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('document of a POST policy')
const expiration = '2026-11-28T12:00:00Z'
const expiresAt = Date.UTC(2026, 10, 28, 12)

/** Returns the parsed document of a JSON text, or the message of its error. */
function parseText(text: string) {
  try {
    return parsePolicyDocument(Buffer.from(text).toString('base64'))
  } catch (error) {
    if (!(error instanceof S3Error)) throw error
    assert.is(error.code, 'InvalidPolicyDocument')
    return error.message.replace('Invalid Policy: ', '')
  }
}

const parse = (document: unknown) => parseText(JSON.stringify(document))
/** Returns the parsed condition, or the message of its error. */
function parseCondition(condition: unknown) {
  const parsed = parse({ expiration, conditions: [condition] })
  return typeof parsed === 'string' ? parsed : parsed.conditions[0]
}

test('a document is an object with an expiration and a list of conditions, and nothing else', () => {
  assert.equal(parse({ expiration, conditions: [] }), { expiresAt, conditions: [] })
  for (const text of ['', '{', 'null', '[]', '"text"', '7']) assert.is(parseText(text), 'Invalid JSON.', text)
  assert.is(parse({ expiration, conditions: [], Extra: 1 }), "Unexpected: 'extra'")
  assert.is(parse({ conditions: [] }), 'Policy missing expiration.')
  assert.is(parse({ expiration }), 'Policy missing conditions.')
  for (const conditions of [{}, 'x', null])
    assert.is(parse({ expiration, conditions }), "Invalid 'conditions' value: must be a List.")
})

test('an expiration is a time in UTC to the second, with up to nine digits of a fraction', () => {
  for (const [time, ms] of [
    ['2026-11-28T12:00:00Z', 0],
    ['2026-11-28T12:00:00.5Z', 500],
    ['2026-11-28T12:00:00.123Z', 123],
    ['2026-11-28T12:00:00.123456789Z', 123],
  ] as const)
    assert.equal(parse({ expiration: time, conditions: [] }), { expiresAt: expiresAt + ms, conditions: [] })
  for (const time of [
    '',
    'soon',
    '2026-11-28',
    '2026-11-28T12:00Z',
    '2026-11-28T12:00:00',
    '2026-11-28 12:00:00Z',
    '2026-11-28T12:00:00+00:00',
    '2026-11-28T12:00:00.Z',
    '2026-11-28T12:00:00.1234567890Z',
    '2026-13-28T12:00:00Z',
    '2026-11-28T25:00:00Z',
    ' 2026-11-28T12:00:00Z',
    '2026-11-28T12:00:00Z ',
    '12026-11-28T12:00:00Z',
    1_795_867_200_000,
    null,
    ['2026-11-28T12:00:00Z'],
  ])
    assert.is(parse({ expiration: time, conditions: [] }), `Invalid 'expiration' value: '${time}'`)
})

test('a condition that is an object has one field and its text, whatever the case of the field', () => {
  assert.equal(parseCondition({ KEY: 'A/b' }), {
    ...{ kind: 'eq', field: 'key', expected: 'A/b', source: ['eq', '$KEY', 'A/b'] },
  })
  const one = 'Invalid Simple-Condition: Simple-Conditions must have exactly one property specified.'
  assert.is(parseCondition({}), one)
  assert.is(parseCondition({ key: 'a', acl: 'private' }), one)
  assert.is(parseCondition({ key: null }), 'Invalid JSON.')
  for (const value of [1, true, ['a'], {}])
    assert.is(parseCondition({ key: value }), 'Invalid Simple-Condition: value must be a string.')
  for (const condition of ['text', 1, null])
    assert.is(parseCondition(condition), 'Invalid condition test: must be a List or Object.')
})

test('a condition that is a list has an operation, a field after a dollar and a text', () => {
  for (const operation of ['eq', 'starts-with'] as const) {
    const source = [operation.toUpperCase(), '$Content-Type', 'image/']
    const expected = { kind: operation, field: 'content-type', expected: 'image/', source }
    assert.equal(parseCondition(source), expected)
    const unnamed = [operation, 'key', 'a']
    assert.equal(parseCondition(unnamed), { kind: 'unmeetable', source: unnamed })
    for (const [first, second] of [
      [1, 'a'],
      ['$key', 1],
    ])
      assert.is(parseCondition([operation, first, second]), 'Invalid JSON.')
    for (const rest of [[], ['$key'], ['$key', 'a', 'b']])
      assert.is(parseCondition([operation, ...rest]), `Invalid ${operation}: wrong number of arguments.`)
  }
  assert.is(parseCondition([]), 'Invalid Condition: missing operation identifier.')
  assert.is(parseCondition([1, '$key', 'a']), 'Invalid JSON.')
  assert.is(parseCondition(['ends-with', '$key', 'a']), "Invalid Condition: unknown operation 'ends-with'.")
})

test('a range of lengths is of whole numbers or their decimal text, and no form meets any other text', () => {
  const operation = 'content-length-range'
  for (const [first, second, min, max] of [
    [0, 10, 0, 10],
    ['1', '20', 1, 20],
    [1, '999999999999999', 1, 999_999_999_999_999],
  ] as const) {
    const source = [operation, first, second]
    assert.equal(parseCondition(source), { kind: operation, min, max, source })
  }
  for (const text of ['', '-1', '1.5', ' 1', '1 ', '1x', '1000000000000000']) {
    for (const source of [
      [operation, text, 10],
      [operation, 0, text],
    ])
      assert.equal(parseCondition(source), { kind: 'unmeetable', source })
  }
  for (const value of [-1, 1.5, 2 ** 53, true, null])
    for (const source of [
      [operation, value, 10],
      [operation, 0, value],
    ])
      assert.is(parseCondition(source), 'Invalid JSON.', String(value))
  assert.is(parseCondition([operation, 1]), 'Invalid content-length-range: wrong number of arguments.')
})

test.run()
