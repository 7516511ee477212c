import { S3Client } from '@aws-sdk/client-s3'
import { createSigningCredentials } from '@millrace/shared/connections/signing-credentials.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('signing credentials')
const minuteMs = 60_000
const hourMs = 60 * minuteMs
/** What is left of credentials' life without the margin of signatures, in ms. */
const marginMs = 30_000

type Provided = { accessKeyId: string; expiration?: Date; originalExpiration?: Date }

/** Creates an S3 client whose credentials come from a source that is asked, as those of a role are. */
function clientOf(provide: () => Provided | Promise<Provided>) {
  let asked = 0
  const s3 = new S3Client({
    region: 'us-east-1',
    async credentials() {
      asked += 1
      return { secretAccessKey: 'secret', ...(await provide()) }
    },
  })
  return { s3, asked: () => asked }
}

const endingIn = (accessKeyId: string, ms: number): Provided => ({
  accessKeyId,
  expiration: new Date(Date.now() + ms),
})

/** Whether a time is that of credentials, less the margin. */
const isEndOf = ({ expiration }: Provided, endsAtMs: number) => endsAtMs === Number(expiration) - marginMs

test('credentials without an end are asked for once and cap nothing', async () => {
  const { s3, asked } = clientOf(() => ({ accessKeyId: 'static' }))
  const credentials = createSigningCredentials({ s3 })
  for (let count = 0; count < 3; count += 1) {
    assert.is((await credentials.find(hourMs)).endsAtMs, Number.POSITIVE_INFINITY)
    assert.is(await credentials.lifeMs(hourMs), hourMs)
  }
  assert.is(asked(), 1)
  s3.destroy()
})

test('credentials that end before the signature are renewed early, and newer ones are used', async () => {
  const [old, next] = [endingIn('old', 20 * minuteMs), endingIn('next', 6 * hourMs)]
  const { s3, asked } = clientOf(() => (asked() === 1 ? old : next))
  const credentials = createSigningCredentials({ s3 })
  const enough = await credentials.find(10 * minuteMs)
  assert.equal([enough.accessKeyId, isEndOf(old, enough.endsAtMs), asked()], ['old', true, 1])
  const renewed = await credentials.find(hourMs)
  assert.equal([renewed.accessKeyId, isEndOf(next, renewed.endsAtMs), asked()], ['next', true, 2])
  assert.is((await s3.config.credentials()).accessKeyId, 'next')
  s3.destroy()
})

test('while there are no newer credentials, signatures end with the old ones, which are renewed once a minute', async () => {
  let nowMs = 0
  const old = endingIn('old', 20 * minuteMs)
  const { s3, asked } = clientOf(() => old)
  const credentials = createSigningCredentials({ s3, now: () => nowMs })
  for (const [at, count] of [
    [0, 2],
    [0, 2],
    [59_999, 2],
    [60_000, 3],
    [61_000, 3],
  ] as const) {
    nowMs = at
    assert.ok(isEndOf(old, (await credentials.find(hourMs)).endsAtMs))
    assert.is(asked(), count)
  }
  const lifeMs = await credentials.lifeMs(hourMs)
  assert.ok(lifeMs > 19 * minuteMs && lifeMs <= 20 * minuteMs - marginMs, `${lifeMs} ms`)
  s3.destroy()
})

test('requests at the same time wait for one renewal', async () => {
  const next = Promise.withResolvers<Provided>()
  const begun = Promise.withResolvers<void>()
  const { s3, asked } = clientOf(() => {
    if (asked() === 1) return endingIn('old', 20 * minuteMs)
    begun.resolve()
    return next.promise
  })
  const credentials = createSigningCredentials({ s3, maxWaitMs: hourMs })
  const found = [credentials.find(hourMs), credentials.find(hourMs), credentials.find(hourMs)]
  await begun.promise
  const late = credentials.find(hourMs)
  next.resolve(endingIn('next', 6 * hourMs))
  const ids = (await Promise.all([...found, late])).map(({ accessKeyId }) => accessKeyId)
  assert.equal([ids, asked()], [['next', 'next', 'next', 'next'], 2])
  s3.destroy()
})

test('a renewal that fails, or does not end, does not fail the request', async () => {
  const reasons: unknown[] = []
  const warn = (fields: object) => reasons.push(fields)
  const old = endingIn('old', 20 * minuteMs)
  for (const renew of [() => Promise.reject(new Error('no metadata')), () => new Promise<never>(() => {})]) {
    const { s3, asked } = clientOf(() => (asked() === 1 ? old : renew()))
    const credentials = createSigningCredentials({ s3, log: { warn }, maxWaitMs: 1 })
    const { accessKeyId, endsAtMs } = await credentials.find(hourMs)
    assert.equal([accessKeyId, isEndOf(old, endsAtMs)], ['old', true])
    s3.destroy()
  }
  assert.is(reasons.length, 1)
  assert.match(JSON.stringify(reasons), 'credentials-not-renewed')
})

test('credentials that the SDK keeps longer than AWS said end when AWS said, unless that is over', async () => {
  const original = new Date(Date.now() + 20 * minuteMs)
  const extended = { ...endingIn('kept', 7 * minuteMs), originalExpiration: original }
  const kept = clientOf(() => extended)
  const { endsAtMs } = await createSigningCredentials(kept).find(hourMs)
  assert.is(endsAtMs, original.getTime() - marginMs)
  const over = { ...extended, originalExpiration: new Date(Date.now() - 1) }
  const ended = clientOf(() => over)
  assert.ok(isEndOf(extended, (await createSigningCredentials(ended).find(hourMs)).endsAtMs))
  kept.s3.destroy()
  ended.s3.destroy()
})

test('a signature lives for a second at least', async () => {
  const { s3 } = clientOf(() => endingIn('ending', 1_000))
  assert.is(await createSigningCredentials({ s3 }).lifeMs(hourMs), 1_000)
  s3.destroy()
})

test.run()
