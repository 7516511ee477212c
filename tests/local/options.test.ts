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

const processes = '1 to 32 or a range such as 1..4'
for (const [flag, value, allowed] of [
  ['--api', '0', processes],
  ['--api', '-1', processes],
  ['--api', '1.5', processes],
  ['--workers', 'many', processes],
  ['--workers', '0', processes],
  ['--workers', '4..1', processes],
  ['--workers', '1..33', processes],
  ['--workers', '1..', processes],
  ['--api', '0..2', processes],
  ['--speed', '0', '1 to 60'],
  ['--speed', '61', '1 to 60'],
  ['--port', '65536', '0 to 65535'],
  ['--port', '', '0 to 65535'],
] as const) {
  test(`${flag} does not accept ${value || 'an empty value'}`, () => {
    const sentence = `${flag} must be a whole number from ${allowed}, not "${value}".`
    assert.equal(problemOf([`${flag}=${value}`]), [sentence, 2])
  })
}

test('an unknown option and a positional argument are errors with exit code 2', () => {
  assert.equal(problemOf(['--wrong']), ["Unknown option '--wrong'; see --help.", 2])
  assert.equal(problemOf(['api']), ["Unexpected argument 'api'; see --help.", 2])
})

test('a range of workers may begin at none, and the largest fleets and speed are accepted', () => {
  const { api, workers, speed } = readOptions(['--api', '32', '--workers', '0..32', '--speed', '60']) ?? {}
  assert.equal([api, workers, speed], [{ min: 32, max: 32 }, { min: 0, max: 32 }, 60])
})

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
