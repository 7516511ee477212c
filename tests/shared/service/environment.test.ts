import { readConfig } from '@millrace/api/config.ts'
import { EnvironmentError, readEnvironment } from '@millrace/shared/service/environment.ts'
import Type from 'typebox'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('environment')

const schema = Type.Object({
  PORT: Type.Integer({ default: 3000, minimum: 0 }),
  NAME: Type.String({ minLength: 3 }),
  SECRET: Type.String({ pattern: '^[a-z]+$' }),
  EXTRA: Type.Optional(Type.String()),
})

test('converts texts, fills in defaults, and leaves the rest of the environment alone', () => {
  const values = readEnvironment(schema, { NAME: 'abc', SECRET: 'x', PORT: '80', EXTRA: '', HOME: '/root' })
  assert.equal(values, { PORT: 80, NAME: 'abc', SECRET: 'x' })
  assert.ok(Object.isFrozen(values))
  assert.is(readEnvironment(schema, { NAME: 'abc', SECRET: 'x' }).PORT, 3000)
})

test('tells of all problems at once, by name and never by value', () => {
  assert.throws(
    () => readEnvironment(schema, { PORT: 'eighty', SECRET: 'Hunter2' }),
    (error: unknown) =>
      error instanceof EnvironmentError &&
      /PORT must be integer/.test(error.message) &&
      /NAME is missing/.test(error.message) &&
      /SECRET must match pattern/.test(error.message) &&
      !/eighty|Hunter2/.test(error.message),
  )
})

test('refuses session keys of another length than 32 bytes', () => {
  const complete = {
    PUBLIC_ORIGIN: 'http://localhost:3000',
    REDIS_URL: 'redis://localhost',
    BUCKET: 'bucket',
    EVENTS_QUEUE_URL: 'http://localhost/queue',
  }
  const key = Buffer.alloc(32).toString('base64')
  assert.is(readConfig({ ...complete, SESSION_KEYS: `${key},${key}` }).sessionKeys.length, 2)
  for (const bad of [
    '',
    'abc',
    `${key},`,
    Buffer.alloc(31).toString('base64'),
    Buffer.alloc(33).toString('base64'),
  ]) {
    assert.throws(
      () => readConfig({ ...complete, SESSION_KEYS: bad }),
      (error: unknown) => error instanceof EnvironmentError && error.message.includes('SESSION_KEYS'),
    )
  }
})

test.run()
