import { isUnreadable, parseStored, undefinedIfUnreadable } from '@millrace/shared/connections/stored-json.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import { createSeldomWarning } from '@millrace/shared/service/seldom-warning.ts'
import fc from 'fast-check'
import Type from 'typebox'
import { Compile } from 'typebox/compile'
import * as assert from 'uvu/assert'
import { checkProperty } from '../../support/check-property.ts'
import { suite } from '../../support/suite.ts'

const test = suite('stored JSON')
const validator = Compile(
  Type.Object({
    state: Type.Union([Type.Literal('a'), Type.Literal('b')]),
    note: Type.Optional(Type.String()),
  }),
)

/** Returns the error with which a stored text is refused. */
function refusalOf(text: string): AppError {
  try {
    parseStored(validator, text, 'records/1')
  } catch (error) {
    if (error instanceof AppError) return error
    throw error
  }
  throw new Error('The text was accepted.')
}

test('stored JSON keeps the fields that the schema does not know', () => {
  assert.equal(parseStored(validator, '{"state":"a","more":{"x":1}}', 'records/1'), {
    state: 'a',
    more: { x: 1 },
  })
})

test('unreadable JSON is a retryable error whose cause names the text and the place, but no value', () => {
  const cases: [string, RegExp][] = [
    ['{"state":"secret-state"}', /^records\/1 does not match its schema: \/state /],
    ['{}', /^records\/1 does not match its schema: the whole /],
    ['{"state":"a","note":7}', /^records\/1 does not match its schema: \/note /],
    ['secret-text', /^records\/1 is not JSON\.$/],
    ['', /^records\/1 is not JSON\.$/],
  ]
  for (const [text, problem] of cases) {
    const { code, retryable, message, cause } = refusalOf(text)
    assert.equal([code, retryable], ['unreadable_record', true], text)
    const logged = cause instanceof Error ? cause.message : ''
    assert.match(logged, problem)
    assert.not.match(`${message} ${logged}`, /secret/)
  }
})

test('no text makes the reader throw anything but an unreadable record', async () => {
  await checkProperty(
    fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
      assert.ok(isUnreadable(refusalOf(text)))
    }),
  )
})

test('only unreadable data counts as none', () => {
  assert.is(undefinedIfUnreadable(refusalOf('{}')), undefined)
  const other = new AppError('internal')
  assert.throws(
    () => undefinedIfUnreadable(other),
    (error: unknown) => error === other,
  )
})

test('a kind of warning is logged once in an interval, with the number of those left out', () => {
  let nowMs = 0
  const lines: [unknown, unknown][] = []
  const log = {
    warn: (fields: { event: string; leftOut: number }) => void lines.push([fields.event, fields.leftOut]),
  }
  const warnSeldom = createSeldomWarning({ log, intervalMs: 100, now: () => nowMs })
  for (nowMs = 0; nowMs < 100; nowMs += 20) warnSeldom('change', new Error('x'), 'unreadable')
  warnSeldom('record', new Error('x'), 'unreadable')
  warnSeldom('change', new Error('x'), 'unreadable')
  assert.equal(lines, [
    ['change', 0],
    ['record', 0],
    ['change', 4],
  ])
})

test.run()
