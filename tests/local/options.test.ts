import { readOptions } from '@millrace/local/options.ts'
import * as assert from 'uvu/assert'
import { suite } from '../support/suite.ts'

const test = suite('options')

/** Returns the sentence and the exit code of the StartError. */
function problemOf(parameters: string[], defaults: { PORT?: string; HOST?: string } = {}) {
  try {
    readOptions(parameters, () => defaults)
  } catch (error) {
    if (error instanceof Error && error.name === 'StartError' && 'exitCode' in error) {
      return [error.message, error.exitCode]
    }
    throw error
  }
  return []
}

for (const [flag, value] of [
  ['--api', '0'],
  ['--api', '-1'],
  ['--api', '1.5'],
  ['--workers', 'many'],
  ['--workers', '0'],
  ['--workers', '4..1'],
  ['--workers', '1..33'],
  ['--workers', '1..'],
  ['--api', '0..2'],
  ['--speed', '0'],
  ['--port', '65536'],
  ['--port', ''],
] as const) {
  test(`${flag} does not accept ${value || 'an empty value'}`, () => {
    const [sentence, code] = problemOf([`${flag}=${value}`])
    assert.match(
      String(sentence),
      new RegExp(
        `^${flag} must be a whole number from \\d+ to \\d+( or a range such as 1..4)?, not "${value}"\\.$`,
      ),
    )
    assert.is(code, 2)
  })
}

test('PORT and HOST apply without --port and --host, and empty ones count as missing', () => {
  const addressOf = (parameters: string[], defaults: { PORT?: string; HOST?: string }) => {
    const { host, port } = readOptions(parameters, () => defaults) ?? {}
    return [host, port]
  }
  assert.equal(addressOf([], {}), ['127.0.0.1', 3000])
  assert.equal(addressOf([], { PORT: '3001', HOST: '::' }), ['::', 3001])
  assert.equal(addressOf(['--port', '1', '--host', '::1'], { PORT: '3001', HOST: '::' }), ['::1', 1])
  assert.equal(addressOf([], { PORT: '', HOST: '' }), ['127.0.0.1', 3000])
  assert.equal(problemOf([], { PORT: 'http' }), [
    'PORT must be a whole number from 0 to 65535, not "http".',
    2,
  ])
})

test('--help does not read PORT', () => {
  assert.is(
    readOptions(['--help'], () => {
      throw new Error('PORT was read.')
    }),
    undefined,
  )
})

test.run()
