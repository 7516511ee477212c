import { verifyWebhook, WebhookError } from '@millrace/client'
import { signWebhook } from '@millrace/worker/webhooks/sign-webhook.ts'
import fc from 'fast-check'
import * as assert from 'uvu/assert'
import {
  newWebhookSecret,
  rotateSecrets,
  validSecrets,
} from '../../../packages/api/src/webhooks/webhook-secret.ts'
import { checkProperty } from '../../support/check-property.ts'
import { suite } from '../../support/suite.ts'

const test = suite('secrets of webhooks')
const hourMs = 60 * 60_000
const startMs = Date.parse('2026-11-28T12:00:00.000Z')
const at = (ms: number) => new Date(startMs + ms)

test('a secret has 32 random bytes, in the form of Standard Webhooks', () => {
  const secrets = Array.from({ length: 5 }, newWebhookSecret)
  for (const secret of secrets) {
    assert.is(Buffer.from(secret.slice('whsec_'.length), 'base64').length, 32)
    assert.match(secret, /^whsec_[A-Za-z0-9+/]{43}=$/)
  }
  assert.is(new Set(secrets).size, 5)
})

test('a replaced secret is valid and signs for 24 hours more, beside the new one, and not a moment longer', () => {
  const first = { secret: newWebhookSecret(), createdAt: at(0).toISOString() }
  const second = newWebhookSecret()
  const rotated = rotateSecrets([first], second, at(hourMs))
  const known = (now: Date) => validSecrets(rotated, now).map(({ secret }) => secret)
  const signatures = (now: Date) =>
    signWebhook(rotated, { id: 'evt_1', body: Buffer.from('{}') }, now)['webhook-signature'].split(' ').length
  for (const [afterMs, expected] of [
    [0, [second, first.secret]],
    [24 * hourMs - 1, [second, first.secret]],
    [24 * hourMs, [second]],
    [1_000 * hourMs, [second]],
  ] as const) {
    const now = at(hourMs + afterMs)
    assert.equal(known(now), expected, `${afterMs} ms`)
    assert.is(signatures(now), expected.length, `${afterMs} ms`)
  }
})

test('after two rotations in a day the first secret has ended, and the second one is valid until its own end', () => {
  const secrets = [newWebhookSecret(), newWebhookSecret(), newWebhookSecret()]
  const [first = '', second = '', third = ''] = secrets
  const once = rotateSecrets([{ secret: first, createdAt: at(0).toISOString() }], second, at(hourMs))
  const twice = rotateSecrets(once, third, at(2 * hourMs))
  assert.equal(
    twice.map(({ secret, endsAt }) => [secret, endsAt]),
    [
      [third, undefined],
      [second, at(26 * hourMs).toISOString()],
    ],
  )
})

/** Returns why a receiver refuses a request; undefined if it accepts it. */
function refusalOf(body: Buffer, headers: Record<string, string>, secret: string): string | undefined {
  try {
    verifyWebhook(body, headers, secret)
    return undefined
  } catch (error) {
    if (error instanceof WebhookError) return error.code
    throw error
  }
}

/** Replaces one byte by another. */
function changeByte(bytes: Buffer, place: number, by: number): Buffer {
  const changed = Buffer.from(bytes)
  const index = place % changed.length
  changed[index] = ((changed[index] ?? 0) + by) % 256
  return changed
}

test('a receiver accepts what was signed, and refuses it once any byte of body, id, time or signature is another', async () => {
  const secret = newWebhookSecret()
  const secrets = [{ secret, createdAt: at(0).toISOString() }]
  await checkProperty(
    fc.property(
      fc.jsonValue(),
      fc.nat(),
      fc.integer({ min: 1, max: 255 }),
      fc.constantFrom('body', 'webhook-id', 'webhook-timestamp', 'webhook-signature'),
      (value, place, by, part) => {
        const body = Buffer.from(JSON.stringify({ type: 'upload.ready', data: { id: 'x', value } }))
        const headers = signWebhook(secrets, { id: 'evt_0123456789', body })
        assert.is(refusalOf(body, headers, secret), undefined)
        if (part === 'body') {
          assert.is(refusalOf(changeByte(body, place, by), headers, secret), 'signature_invalid')
          return
        }
        // The version of the signature and its padding are no part of its bytes.
        const start = part === 'webhook-signature' ? 'v1,'.length : 0
        const text = headers[part]
        const index = start + (place % (text.replace(/=+$/, '').length - start - (start > 0 ? 1 : 0)))
        const known = /[0-9]/.test(text[index] ?? '') ? '0123456789' : 'ABCDEFGHIJ'
        const [other = ''] = [...known].filter((character) => character !== text[index]).slice(by % 9)
        const changed = { ...headers, [part]: `${text.slice(0, index)}${other}${text.slice(index + 1)}` }
        assert.is(refusalOf(body, changed, secret), 'signature_invalid', JSON.stringify(changed))
      },
    ),
    { runs: 300 },
  )
})

test('a receiver accepts a request for five minutes after and before its time', () => {
  const secret = newWebhookSecret()
  const body = Buffer.from(JSON.stringify({ type: 'upload.ready', data: { id: 'x' } }))
  const refusalAt = (seconds: number) => {
    const now = new Date(Date.now() + seconds * 1000)
    const headers = signWebhook([{ secret, createdAt: '' }], { id: 'evt_1', body }, now)
    assert.is(headers['webhook-timestamp'], String(Math.floor(now.getTime() / 1000)))
    return refusalOf(body, headers, secret)
  }
  assert.equal([-302, -240, 0, 295, 310].map(refusalAt), [
    'signature_invalid',
    undefined,
    undefined,
    undefined,
    'signature_invalid',
  ])
})

test.run()
