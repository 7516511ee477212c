import { EnvironmentError, openEnvironment } from '@millrace/shared/service/environment.ts'
import Type from 'typebox'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('environment')

const schema = Type.Object(
  {
    PORT: Type.Integer({ default: 3000, minimum: 0, maximum: 65_535 }),
    PERIOD_MS: Type.Integer({ default: 10, minimum: 5 }),
    OPEN: Type.Boolean({ default: false }),
    LEVEL: Type.Enum(['low', 'high'], { default: 'low' }),
    STAGE: Type.Optional(
      Type.String({ pattern: '^[a-z]+$', description: 'lower-case letters', showValue: true }),
    ),
    NAME: Type.String({ minLength: 3 }),
    SECRET: Type.String({ pattern: '^[a-z]+$' }),
    EXTRA: Type.Optional(Type.String()),
    EXTRA_KEY: Type.Optional(Type.String()),
  },
  { dependentRequired: { EXTRA: ['EXTRA_KEY'] } },
)
const complete = { NAME: 'abc', SECRET: 'x' }

/** The problems of an environment, each a sentence. */
function problemsOf(environment: Record<string, string>): readonly string[] {
  try {
    openEnvironment(schema, environment).complete()
  } catch (error) {
    if (error instanceof EnvironmentError) return error.problems
    throw error
  }
  return []
}

test('openEnvironment converts texts, applies defaults and ignores other variables', () => {
  const values = openEnvironment(schema, {
    ...complete,
    PORT: '80',
    OPEN: 'true',
    STAGE: '',
    HOME: '/root',
  }).complete()
  assert.equal(values, { PORT: 80, PERIOD_MS: 10, OPEN: true, LEVEL: 'low', NAME: 'abc', SECRET: 'x' })
  assert.ok(Object.isFrozen(values))
  assert.is(openEnvironment(schema, complete).complete().PORT, 3000)
})

test('openEnvironment reports every problem at once, one sentence per variable', () => {
  assert.equal(
    problemsOf({
      PORT: '65536',
      PERIOD_MS: '3.7',
      OPEN: 'yes',
      LEVEL: 'loud',
      STAGE: 'A\nb',
      NAME: 'ab',
      EXTRA: 'x',
    }),
    [
      'PORT is 65536; it must be an integer from 0 to 65535.',
      'PERIOD_MS is 3.7; it must be an integer of at least 5.',
      'OPEN is "yes"; it must be true or false.',
      'LEVEL is "loud"; allowed: low, high.',
      'STAGE is "A\\nb"; it must be lower-case letters.',
      'NAME must be a text of at least 3 characters.',
      'SECRET is missing.',
      'EXTRA_KEY is missing; EXTRA requires it.',
    ],
  )
})

test('openEnvironment shows a text value only if its schema allows that', () => {
  assert.equal(problemsOf({ ...complete, SECRET: 'Hunter2' }), [
    'SECRET must be a text that matches ^[a-z]+$.',
  ])
})

test('openEnvironment hides credentials of a URL that is in the wrong variable', () => {
  assert.equal(problemsOf({ ...complete, LEVEL: 'redis://user:hunter2@host' }), [
    'LEVEL is "redis://[scrubbed]@host"; allowed: low, high.',
  ])
})

test('openEnvironment accepts as integers only texts of digits', () => {
  for (const text of ['eighty', '3.7', '0x50', '1e3', 'true', '8 0', '80a']) {
    assert.equal(problemsOf({ ...complete, PORT: text }).length, 1, text)
  }
  assert.equal(problemsOf({ ...complete, PORT: 'eighty' }), [
    'PORT is "eighty"; it must be an integer from 0 to 65535.',
  ])
})

test('openEnvironment cuts long values in its sentences', () => {
  const [problem = ''] = problemsOf({ ...complete, LEVEL: 'x'.repeat(10_000) })
  assert.ok(problem.length < 200, `${problem.length}`)
  assert.match(problem, /^LEVEL is "x+…; allowed: low, high\.$/)
})

test('openEnvironment reports problems that its caller finds together with its own', () => {
  const environment = openEnvironment(schema, { ...complete, PORT: 'x' })
  assert.is(environment.text('EXTRA'), undefined)
  assert.is(environment.text('SECRET'), 'x')
  environment.report('SECRET is short.')
  assert.throws(
    () => environment.complete(),
    (error: unknown) =>
      error instanceof EnvironmentError &&
      error.message === 'PORT is "x"; it must be an integer from 0 to 65535.\nSECRET is short.',
  )
})

test.run()
