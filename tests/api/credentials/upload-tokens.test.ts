import { createHmac, randomBytes } from 'node:crypto'
import type { Caller } from '@millrace/api/credentials/caller.ts'
import { tokenIdEndMs } from '@millrace/api/credentials/token-id.ts'
import { deriveTokenKeys } from '@millrace/api/credentials/token-keys.ts'
import { createUploadTokens, maxTokenLifeSeconds } from '@millrace/api/credentials/upload-tokens.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import { userOwner } from '@millrace/shared/uploads/owner.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('upload tokens')
const startMs = Date.parse('2026-11-27T12:00:00.500Z')
const sessionKeys = [randomBytes(32), randomBytes(32)]
const grant = { tenant: 'acme', user: 'ada', scopes: ['uploads:write'] as const, expiresInSeconds: 60 }

/** Creates an instance whose clock a test sets, and which knows no revoked token unless the test names some. */
function instance(keys = sessionKeys, { nowMs = startMs, revoked = new Set<string>() } = {}) {
  const clock = { nowMs }
  const tokens = createUploadTokens({
    sessionKeys: keys,
    revokedTokens: { has: async (id) => revoked.has(id) },
    now: () => clock.nowMs,
  })
  return { ...tokens, clock }
}

async function codeOf(found: ReturnType<ReturnType<typeof instance>['find']>): Promise<string> {
  try {
    return (await found) ? 'found' : 'not of this kind'
  } catch (error) {
    if (!(error instanceof AppError)) throw error
    assert.not.match(error.message, /alg|aud|iss|typ|kid|signature|claim/i)
    return error.code
  }
}

const parts = (token: string) => token.split('.')
const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')
/** Appends the HMAC of a header and a payload. */
const signed = (text: string, key: Uint8Array, hash = 'sha256') =>
  `${text}.${createHmac(hash, key).update(text).digest('base64url')}`
const decode = (text = ''): Record<string, unknown> => JSON.parse(Buffer.from(text, 'base64url').toString())

test('a token tells its tenant, user, scopes, limits, metadata and end', async () => {
  const { make, find, clock } = instance()
  const limits = { maxFiles: 3, accept: ['image/*'] }
  const made = await make({ ...grant, limits, metadata: { album: 'summer' } })
  assert.is(made.expiresAt, '2026-11-27T12:01:00.000Z')
  const caller = await find(made.token)
  assert.ok(caller)
  const { scopes, hasEnded, ...rest }: Caller = caller
  assert.equal([...scopes], ['uploads:write'])
  assert.is(await hasEnded(), false)
  assert.equal(rest, {
    kind: 'token',
    id: `token-${made.id}`,
    tenant: 'acme',
    user: 'ada',
    owner: userOwner('acme', 'ada'),
    endsAtMs: Date.parse(made.expiresAt),
    limits,
    metadata: { album: 'summer' },
  })
  assert.ok(Date.parse(made.expiresAt) > clock.nowMs)
})

test('a token ends by its time, with a clock skew of 5 s', async () => {
  const { make, find, clock } = instance()
  const { token, expiresAt } = await make(grant)
  clock.nowMs = Date.parse(expiresAt) + 4_900
  assert.is(await codeOf(find(token)), 'found')
  clock.nowMs = Date.parse(expiresAt) + 5_000
  assert.is(await codeOf(find(token)), 'token_expired')
  clock.nowMs = startMs - 4_000
  assert.is(await codeOf(find(token)), 'found')
  clock.nowMs = startMs - 20_000
  assert.is(await codeOf(find(token)), 'token_invalid')
})

test('a token lasts at most seven days, as an upload in parts may stay open', () => {
  assert.is(maxTokenLifeSeconds, 7 * 24 * 60 * 60)
})

test('a revoked token is refused, and what it left open has ended', async () => {
  const revoked = new Set<string>()
  const { make, find } = instance(sessionKeys, { revoked })
  const { token, id } = await make(grant)
  const caller = await find(token)
  revoked.add(id)
  assert.is(await codeOf(find(token)), 'token_revoked')
  assert.is(await caller?.hasEnded(), true)
})

test('every session key verifies, the first signs, and a removed one does not verify', async () => {
  const [first = Buffer.alloc(0), second = Buffer.alloc(0)] = sessionKeys
  const ofSecond = await instance([second]).make(grant)
  const rotated = instance([first, second])
  assert.is(await codeOf(rotated.find(ofSecond.token)), 'found')
  assert.ok(rotated.readId(ofSecond.id))
  const ofFirst = await rotated.make(grant)
  assert.is(await codeOf(instance([first]).find(ofFirst.token)), 'found')
  assert.is(await codeOf(instance([second]).find(ofFirst.token)), 'token_invalid')
  assert.is(instance([second]).readId(ofFirst.id), undefined)
})

test('the keys are not the session keys, and differ from each other', () => {
  const [key = Buffer.alloc(0)] = sessionKeys
  const [derived] = deriveTokenKeys([key])
  const [other] = deriveTokenKeys([randomBytes(32)])
  assert.ok(derived && other)
  assert.not.equal(Buffer.from(derived.signing), key)
  assert.not.equal(derived.signing, derived.ids)
  assert.not.equal(derived.signing, other.signing)
  assert.not.equal(derived.kid, other.kid)
  assert.equal(deriveTokenKeys([key])[0], derived)
})

test('a changed byte anywhere makes a token invalid', async () => {
  const { make, find } = instance()
  const { token } = await make({ ...grant, limits: { maxFiles: 1 } })
  const [header = '', payload = ''] = parts(token)
  for (let at = header.length + 1; at < token.length; at += 7) {
    const changed = `${token.slice(0, at)}${token[at] === 'A' ? 'B' : 'A'}${token.slice(at + 1)}`
    // The last character of each part has bits that do not count.
    if ([header.length, header.length + 1 + payload.length, token.length - 1].includes(at)) continue
    assert.is(await codeOf(find(changed)), 'token_invalid', String(at))
  }
})

test('tokens with another algorithm, type, audience, issuer or key are invalid, whoever signed them', async () => {
  const { make, find } = instance()
  const { token } = await make(grant)
  const [header = '', payload = '', signature = ''] = parts(token)
  const known = decode(header)
  const claims = decode(payload)
  const [key] = deriveTokenKeys(sessionKeys)
  assert.ok(key)
  /** Signs with the real key. */
  const sign = (changedHeader: object, changedClaims: object) => {
    const text = `${encode({ ...known, ...changedHeader })}.${encode({ ...claims, ...changedClaims })}`
    return signed(text, key.signing)
  }
  assert.is(await codeOf(find(sign({}, {}))), 'found')
  const none = encode({ ...known, alg: 'none' })
  const invalid: Record<string, string> = {
    'alg none': `${none}.${payload}.`,
    'alg none with a signature': `${none}.${payload}.${signature}`,
    'alg HS512': signed(`${encode({ ...known, alg: 'HS512' })}.${payload}`, key.signing, 'sha512'),
    'the key of another': signed(`${header}.${payload}`, randomBytes(32)),
    'no signature': `${header}.${payload}.`,
    'typ JWT': sign({ typ: 'JWT' }, {}),
    'no typ': sign({ typ: undefined }, {}),
    'unknown kid': sign({ kid: 'other' }, {}),
    'no kid': sign({ kid: undefined }, {}),
    'critical extension': sign({ crit: ['b64'], b64: false }, {}),
    'another audience': sign({}, { aud: 'other' }),
    'no audience': sign({}, { aud: undefined }),
    'another issuer': sign({}, { iss: 'https://other.example' }),
    'no end': sign({}, { exp: undefined }),
    'no start': sign({}, { iat: undefined }),
    'an end that is no number': sign({}, { exp: 'never' }),
    'a scope that tokens cannot have': sign({}, { scopes: ['admin'] }),
    'an unknown limit': sign({}, { limits: { maxFaces: 1 } }),
    'no user': sign({}, { sub: undefined }),
    'no tenant': sign({}, { tenant: undefined }),
    'no id': sign({}, { jti: undefined }),
  }
  for (const [name, changed] of Object.entries(invalid)) {
    assert.is(await codeOf(find(changed)), 'token_invalid', name)
  }
  const longEndSeconds = Math.floor(startMs / 1000) + 2 * maxTokenLifeSeconds
  const { clock, find: findLate } = instance()
  clock.nowMs = startMs + (maxTokenLifeSeconds + 10) * 1000
  assert.is(await codeOf(findLate(sign({}, { exp: longEndSeconds }))), 'token_expired')
})

test('tokens of other kinds are left to others', async () => {
  const { find } = instance()
  const header = encode({ alg: 'HS256', typ: 'JWT', kid: 'theirs' })
  const other = signed(`${header}.${encode({ sub: 'x' })}`, randomBytes(32))
  for (const token of ['', 'mr_abc', 'a.b.c', '..', 'x'.repeat(8_000), other]) {
    assert.is(await codeOf(find(token)), 'not of this kind', token.slice(0, 20))
  }
})

test('an id tells its owner and its end, and only our own ids are read', async () => {
  const { make, readId } = instance()
  const { id, expiresAt } = await make(grant)
  assert.equal(readId(id), { owner: userOwner('acme', 'ada'), endsAtMs: Date.parse(expiresAt) })
  const changed = `${id.slice(0, -1)}${id.endsWith('0') ? '1' : '0'}`
  const later = `9${id.slice(1)}`
  for (const other of ['', 'x', changed, later, `${id}0`, id.toUpperCase(), `${id}/..`]) {
    assert.is(readId(other), undefined, other)
  }
  assert.is.not((await make(grant)).id, id)
  assert.is(tokenIdEndMs(id), Date.parse(expiresAt))
  for (const other of ['', 'x', `x${id}`, id.slice(1), `1${id}`, id.slice(0, 10)])
    assert.ok(Number.isNaN(tokenIdEndMs(other)), other)
})

test.run()
