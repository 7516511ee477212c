import fc from 'fast-check'
import * as assert from 'uvu/assert'
import { ApiProblem, dataOf, SendError } from '../../packages/client/src/api/millrace-error.ts'
import { isRetryable, retry } from '../../packages/client/src/api/retry.ts'
import { checkProperty } from '../support/check-property.ts'
import { suite } from '../support/suite.ts'
import { withInstantTimers } from './support/instant-timers.ts'

const test = suite('retries of the client')
const { signal } = new AbortController()

const problem = (status: number, retryAfter?: string) =>
  new ApiProblem(
    new Response(null, { status, headers: retryAfter === undefined ? {} : { 'retry-after': retryAfter } }),
    undefined,
  )

/** Runs work that fails with these errors, and then succeeds. */
async function runWith(
  errors: readonly unknown[],
  options: { jitter?: number; attempts?: number; isRetryable?: (error: unknown) => boolean } = {},
) {
  const { jitter = 1, ...rest } = options
  const timers = withInstantTimers(jitter)
  let calls = 0
  try {
    const outcome = await retry(
      async () => {
        calls += 1
        if (calls <= errors.length) throw errors[calls - 1]
        return 'done'
      },
      { signal, ...rest },
    ).catch((error: unknown) => error)
    return { calls, outcome, delays: timers.delays }
  } finally {
    timers.restore()
  }
}

test('a request is sent six times at most, after delays that double from half a second to ten', async () => {
  const busy = new SendError(503, 'busy')
  const ended = await runWith(Array(9).fill(busy))
  assert.equal([ended.calls, ended.outcome], [6, busy])
  assert.equal(ended.delays, [500, 1_000, 2_000, 4_000, 8_000])
  const long = await runWith(Array(7).fill(busy), { attempts: Number.POSITIVE_INFINITY })
  assert.equal([long.calls, long.outcome], [8, 'done'])
  assert.equal(long.delays, [500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000])
})

test('delays are random, from none to the whole, so that clients do not come back together', async () => {
  await checkProperty(
    fc.asyncProperty(
      fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
      fc.integer({ min: 1, max: 12 }),
      fc.array(fc.constantFrom(408, 429, 500, 502, 503, 504), { maxLength: 15 }),
      async (jitter, attempts, statuses) => {
        const errors = statuses.map((status) => problem(status))
        const { calls, outcome, delays } = await runWith(errors, { jitter, attempts })
        assert.is(calls, Math.min(attempts, errors.length + 1))
        assert.is(outcome, errors.length < attempts ? 'done' : errors[attempts - 1])
        assert.equal(
          delays,
          Array.from({ length: calls - 1 }, (_, retries) => jitter * Math.min(500 * 2 ** retries, 10_000)),
        )
      },
    ),
  )
})

test('Retry-After is waited for in addition, up to a minute; a longer one fails at once', async () => {
  const soon = await runWith([problem(429, '3'), problem(503, '60')], { jitter: 0.5 })
  assert.equal([soon.calls, soon.outcome, soon.delays], [3, 'done', [3_250, 60_500]])
  const later = problem(429, '61')
  const failed = await runWith([later])
  assert.equal([failed.calls, failed.outcome, failed.delays], [1, later, []])
  const date = await runWith([problem(503, 'Wed, 25 Nov 2026 12:00:00 GMT')])
  assert.equal(date.delays, [500])
})

test('only errors that may go away are retried', async () => {
  const retried = [408, 429, 500, 502, 503, 504]
  for (let status = 400; status < 600; status++) {
    assert.is(isRetryable(problem(status)), retried.includes(status), `API ${status}`)
    assert.is(isRetryable(new SendError(status, '')), retried.includes(status), `S3 ${status}`)
  }
  assert.is(isRetryable(new SendError(0, 'no connection')), true)
  assert.is(isRetryable(new SendError(400, '', 'RequestTimeout')), true)
  assert.is(isRetryable(new SendError(400, '', 'EntityTooLarge')), false)
  const conflict = await (async () =>
    dataOf({
      error: { code: 'idempotency_key_in_use', detail: 'It is still running.' },
      response: new Response(null, { status: 409 }),
    }))().catch((error: unknown) => error)
  assert.is(isRetryable(conflict), true)
  assert.is(isRetryable(new TypeError('fetch failed')), true)
  assert.is(
    isRetryable(
      new TypeError('Invalid URL', { cause: Object.assign(new Error(), { code: 'ERR_INVALID_URL' }) }),
    ),
    false,
  )
  assert.is(isRetryable(new Error('a fault of the page')), false)
  const final = new SendError(404, '')
  assert.equal(await runWith([final]), { calls: 1, outcome: final, delays: [] })
  const other = await runWith([final, final], { isRetryable: () => true })
  assert.equal([other.calls, other.outcome], [3, 'done'])
})

test('an abort ends the attempts, also during a delay, with its own reason', async () => {
  const reason = new Error('The page was left.')
  const aborting = new AbortController()
  let calls = 0
  const during = retry(
    async () => {
      calls += 1
      aborting.abort(reason)
      // What fails because of the abort looks like an error of its own.
      throw new SendError(400, '')
    },
    { signal: aborting.signal },
  )
  assert.is(await during.catch((error: unknown) => error), reason)
  assert.is(calls, 1)

  const waiting = new AbortController()
  const { setTimeout: real } = globalThis
  const cleared: unknown[] = []
  const { clearTimeout: realClear } = globalThis
  Object.assign(globalThis, {
    setTimeout: () => {
      queueMicrotask(() => waiting.abort(reason))
      return 'the delay'
    },
    clearTimeout: (timer: unknown) => cleared.push(timer),
  })
  try {
    const late = retry(() => Promise.reject(new SendError(503, '')), { signal: waiting.signal })
    assert.is(await late.catch((error: unknown) => error), reason)
  } finally {
    Object.assign(globalThis, { setTimeout: real, clearTimeout: realClear })
  }
  assert.equal(cleared, ['the delay'])
})

test.run()
