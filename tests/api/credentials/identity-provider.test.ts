import { createIdentityProvider } from '@millrace/api/credentials/identity-provider.ts'
import { jwtVariables, readJwtSettings } from '@millrace/api/credentials/jwt-settings.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import { openEnvironment, throwProblem } from '@millrace/shared/service/environment.ts'
import { userOwner } from '@millrace/shared/uploads/owner.ts'
import Type from 'typebox'
import * as assert from 'uvu/assert'
import {
  type Claims,
  createSigningKey,
  signWithSecret,
  startJwksServer,
  unsigned,
} from '../../support/fake-identity-provider.ts'
import { suite } from '../../support/suite.ts'

const test = suite('identity provider')

const issuer = 'https://id.example/'
const secret = 'a secret text of thirty-two bytes or more'
const rsa = createSigningKey('RS256', 'rsa-1')
const ec = createSigningKey('ES256', 'ec-1')
let jwks: Awaited<ReturnType<typeof startJwksServer>>

test.before.each(async () => {
  jwks = await startJwksServer([rsa, ec])
})
test.after.each(() => jwks.close())

const nowSeconds = () => Math.floor(Date.now() / 1000)
const claims = (changes: Claims = {}): Claims => ({
  iss: issuer,
  aud: 'millrace',
  sub: 'ada',
  iat: nowSeconds(),
  exp: nowSeconds() + 3600,
  ...changes,
})

/** Creates the provider of these variables, in addition to those that every one needs. */
function connect(variables: Record<string, string> = {}, now?: () => number) {
  const environment: Record<string, string> = {
    ...(!('JWT_SECRET' in variables) && { JWT_JWKS_URL: jwks.url }),
    JWT_ISSUER: issuer,
    JWT_AUDIENCE: 'millrace',
    ...(!('JWT_TENANT_CLAIM' in variables) && { JWT_TENANT: 'acme' }),
    ...variables,
  }
  const settings = readJwtSettings(openEnvironment(Type.Object(jwtVariables), environment).text, throwProblem)
  if (!settings) throw new Error('There are no settings.')
  const warnings: unknown[] = []
  const log = { warn: (fields: unknown) => void warnings.push(fields) }
  return { ...createIdentityProvider(settings, { log, ...(now && { now }) }), warnings }
}

async function codeOf(find: Promise<unknown>): Promise<string> {
  return find.then(
    (caller) => (caller === undefined ? 'none' : 'accepted'),
    (error: unknown) => (error instanceof AppError ? error.code : `not an AppError: ${error}`),
  )
}

for (const [provider, variables, key, token] of [
  [
    'Auth0',
    { JWT_ISSUER: 'https://acme.eu.auth0.com/', JWT_AUDIENCE: 'https://media.acme.example' },
    rsa,
    {
      iss: 'https://acme.eu.auth0.com/',
      sub: 'auth0|64b8f0c2a5d1',
      aud: ['https://media.acme.example', 'https://acme.eu.auth0.com/userinfo'],
      azp: 'client',
      scope: 'openid profile',
    },
  ],
  [
    'Supabase',
    { JWT_ISSUER: 'https://abc.supabase.co/auth/v1', JWT_AUDIENCE: 'authenticated' },
    ec,
    {
      iss: 'https://abc.supabase.co/auth/v1',
      sub: '8f14e45f-ceea-467f-a0e6-5a3d1b2c4d5e',
      aud: 'authenticated',
      role: 'authenticated',
      aal: 'aal1',
      session_id: 'b1a2',
      app_metadata: { provider: 'email' },
      user_metadata: { tenant: 'evil' },
      is_anonymous: false,
    },
  ],
  [
    'Firebase',
    { JWT_ISSUER: 'https://securetoken.google.com/acme-app', JWT_AUDIENCE: 'acme-app' },
    rsa,
    {
      iss: 'https://securetoken.google.com/acme-app',
      aud: 'acme-app',
      auth_time: nowSeconds(),
      user_id: 'Xy12',
      sub: 'Xy12',
      firebase: { identities: {}, sign_in_provider: 'password' },
    },
  ],
  [
    'Clerk',
    {
      JWT_ISSUER: 'https://clerk.acme.example',
      JWT_AUDIENCE: 'https://app.acme.example',
      JWT_AUDIENCE_CLAIM: 'azp',
    },
    rsa,
    {
      iss: 'https://clerk.acme.example',
      aud: undefined,
      azp: 'https://app.acme.example',
      sid: 'sess_1',
      sub: 'user_2abc',
      nbf: nowSeconds() - 10,
      exp: nowSeconds() + 60,
    },
  ],
  [
    'Keycloak',
    {
      JWT_ISSUER: 'https://keycloak.acme.example/realms/acme',
      JWT_AUDIENCE: 'millrace',
      JWT_SCOPES_CLAIM: 'resource_access.millrace.roles',
    },
    rsa,
    {
      iss: 'https://keycloak.acme.example/realms/acme',
      aud: ['account', 'millrace'],
      sub: 'f:1:ada',
      typ: 'Bearer',
      azp: 'web',
      realm_access: { roles: ['offline_access'] },
      resource_access: { millrace: { roles: ['uploads:read', 'uploads:write', 'admin'] } },
    },
  ],
] satisfies [string, Record<string, string>, typeof rsa, Claims][]) {
  test(`a token as ${provider} issues it names the user, and no other tenant, audience or issuer is accepted`, async () => {
    const { find } = connect(variables)
    const sent = claims(token)
    const caller = await find(key.sign(sent))
    assert.equal(
      [caller?.kind, caller?.tenant, caller?.user, caller?.owner],
      ['jwt', 'acme', token.sub, userOwner('acme', token.sub)],
    )
    assert.equal([...(caller?.scopes ?? [])].toSorted(), ['uploads:read', 'uploads:write'])
    assert.is(caller?.endsAtMs, (Number(sent['exp']) + 30) * 1000)
    assert.is(await caller?.hasEnded(), false)
    for (const wrong of [
      { iss: 'https://evil.example/' },
      { iss: undefined },
      { aud: 'other', azp: 'other' },
      { aud: undefined, azp: undefined },
    ]) {
      assert.is(await codeOf(find(key.sign({ ...sent, ...wrong }))), 'token_invalid', JSON.stringify(wrong))
    }
  })
}

test("Supabase's legacy secret signs with HS256, alone or beside new keys", async () => {
  const legacy = connect({ JWT_SECRET: secret })
  assert.is((await legacy.find(signWithSecret(secret, claims())))?.user, 'ada')
  assert.is(await codeOf(legacy.find(signWithSecret(`${secret}!`, claims()))), 'token_invalid')
  assert.is(await codeOf(legacy.find(ec.sign(claims()))), 'token_invalid')
  const both = connect({ JWT_SECRET: secret, JWT_JWKS_URL: jwks.url })
  assert.is((await both.find(signWithSecret(secret, claims())))?.user, 'ada')
  assert.is((await both.find(ec.sign(claims())))?.user, 'ada')
})

test('RS256, PS256, ES256 and EdDSA are accepted with keys of a JWKS', async () => {
  const keys = [rsa, ec, createSigningKey('PS256', 'ps-1'), createSigningKey('EdDSA', 'ed-1')]
  jwks.publish(keys)
  const { find } = connect()
  for (const key of keys) assert.is((await find(key.sign(claims())))?.user, 'ada', key.kid)
})

test('a public key is no HS256 secret, and neither "none" nor another algorithm is accepted', async () => {
  const pem = rsa.publicKey.export({ type: 'spki', format: 'pem' })
  const der = rsa.publicKey.export({ type: 'spki', format: 'der' })
  for (const variables of [{}, { JWT_SECRET: secret }, { JWT_SECRET: secret, JWT_JWKS_URL: jwks.url }]) {
    const { find } = connect(variables)
    const forged = [
      signWithSecret(pem, claims()),
      signWithSecret(pem, claims(), { kid: rsa.kid }),
      signWithSecret(der, claims(), { kid: rsa.kid }),
      signWithSecret(JSON.stringify(rsa.jwk), claims(), { kid: rsa.kid }),
      signWithSecret('', claims()),
      signWithSecret(secret, claims(), { alg: 'HS512' }),
      unsigned(claims()),
      unsigned(claims(), 'NONE'),
      unsigned(claims(), 'HS256'),
      ec.sign(claims(), { alg: 'RS256' }),
      rsa.sign(claims(), { alg: 'none' }),
      rsa.sign(claims(), { crit: ['exp'] }),
      rsa.sign(claims(), { b64: false, crit: ['b64'] }),
    ]
    for (const token of forged) assert.is(await codeOf(find(token)), 'token_invalid', token.slice(0, 60))
  }
})

test('a key in the token itself, or at an address that it names, is ignored', async () => {
  const evil = createSigningKey('RS256', 'rsa-1')
  const evilServer = await startJwksServer([evil])
  try {
    const { find } = connect()
    for (const header of [{ jwk: evil.jwk }, { jku: evilServer.url }, { jku: evilServer.url, kid: 'other' }])
      assert.is(await codeOf(find(evil.sign(claims(), header))), 'token_invalid')
    assert.is(evilServer.fetches(), 0)
  } finally {
    await evilServer.close()
  }
})

test('a token is valid between nbf and exp, with a skew of 30 s, and one without exp never', async () => {
  const { find } = connect()
  const at = (changes: Claims) => codeOf(find(rsa.sign(claims(changes))))
  assert.is(await at({ exp: nowSeconds() - 20 }), 'accepted')
  assert.is(await at({ exp: nowSeconds() - 40 }), 'token_expired')
  assert.is(await at({ nbf: nowSeconds() + 20 }), 'accepted')
  assert.is(await at({ nbf: nowSeconds() + 60 }), 'token_invalid')
  for (const exp of [undefined, 'tomorrow', null, 1e300])
    assert.is(await at({ exp }), 'token_invalid', String(exp))
  assert.is(await at({ exp: -1e300 }), 'token_expired')
  // Only the owner of the key learns that a token is expired.
  const forged = `${rsa.sign(claims({ exp: 1 })).slice(0, -8)}AAAAAAAA`
  assert.is(await codeOf(find(forged)), 'token_invalid')
})

test('a token that was accepted is refused when its time has come', async () => {
  let time = Date.now()
  const { find } = connect({}, () => time)
  const token = rsa.sign(claims({ exp: nowSeconds() + 10 }))
  assert.is(await codeOf(find(token)), 'accepted')
  time += 39_000
  assert.is(await codeOf(find(token)), 'accepted')
  time += 2_000
  assert.is(await codeOf(find(token)), 'token_expired')
})

test('what is not of three parts is of another kind, and a huge token is not read', async () => {
  const { find } = connect()
  for (const token of ['', 'mr_abc', 'a.b', 'a.b.c.d.e', '..', 'a..c']) {
    assert.is(await codeOf(find(token)), 'none', token)
  }
  for (const token of ['a.b.c', 'e30.e30.e30', 'bnVsbA.bnVsbA.AA', `${'A'.repeat(9_000)}.A.A`])
    assert.is(await codeOf(find(token)), 'token_invalid', token.slice(0, 20))
  const large = rsa.sign(claims({ picture: 'x'.repeat(9_000) }))
  assert.is(await codeOf(find(large)), 'token_invalid')
  assert.is(await codeOf(find(rsa.sign(claims({ picture: 'x'.repeat(4_000) })))), 'accepted')
})

test('the user is the configured claim: text up to 256 characters, or a whole number', async () => {
  const userOf = async (variables: Record<string, string>, changes: Claims) =>
    (await connect(variables).find(rsa.sign(claims(changes))))?.user
  assert.is(await userOf({ JWT_USER_CLAIM: 'user_id' }, { user_id: 42 }), '42')
  assert.is(
    await userOf({ JWT_USER_CLAIM: 'app_metadata.account.id' }, { app_metadata: { account: { id: 'a' } } }),
    'a',
  )
  const url = 'https://acme.example/user.id'
  assert.is(await userOf({ JWT_USER_CLAIM: url }, { [url]: 'b', https: { x: 'evil' } }), 'b')
  assert.is(await userOf({}, { sub: '✓ 日本' }), '✓ 日本')
  for (const sub of [undefined, null, '', 'x'.repeat(257), 'a\0b', '\ud800', 4.5, true, ['ada'], {}])
    assert.is(await codeOf(connect().find(rsa.sign(claims({ sub })))), 'token_invalid', String(sub))
  const { find } = connect({ JWT_USER_CLAIM: 'constructor.name' })
  assert.is(await codeOf(find(rsa.sign(claims()))), 'token_invalid')
})

test('the tenant is configured, or a claim that is a name of a tenant', async () => {
  const { find } = connect({ JWT_TENANT_CLAIM: 'app_metadata.tenant' })
  const caller = await find(rsa.sign(claims({ app_metadata: { tenant: 'north' } })))
  assert.equal([caller?.tenant, caller?.owner], ['north', userOwner('north', 'ada')])
  for (const tenant of [undefined, '', 'North', 'u-1', 's-1', 'a/b', ['north'], 7])
    assert.is(await codeOf(find(rsa.sign(claims({ app_metadata: { tenant } })))), 'token_invalid')
})

test('a scopes claim narrows JWT_SCOPES, and grants nothing beyond it', async () => {
  const scopesOf = async (variables: Record<string, string>, scope: unknown) =>
    [...((await connect(variables).find(rsa.sign(claims({ scope }))))?.scopes ?? [])].toSorted()
  assert.equal(await scopesOf({}, 'admin tenant'), ['uploads:read', 'uploads:write'])
  assert.equal(await scopesOf({ JWT_SCOPES: 'uploads:read' }, 'uploads:write'), ['uploads:read'])
  const JWT_SCOPES_CLAIM = 'scope'
  assert.equal(await scopesOf({ JWT_SCOPES_CLAIM }, 'openid uploads:read admin act-as'), ['uploads:read'])
  assert.equal(await scopesOf({ JWT_SCOPES_CLAIM }, ['uploads:write', 'tenant', 7]), ['uploads:write'])
  for (const scope of [undefined, '', 7, {}]) assert.equal(await scopesOf({ JWT_SCOPES_CLAIM }, scope), [])
})

test('all tokens of a user have one id, which is not secret', async () => {
  const { find } = connect()
  const [first, second, other] = await Promise.all(
    [{}, { jti: '2' }, { sub: 'bob' }].map((changes) => find(rsa.sign(claims(changes)))),
  )
  assert.match(first?.id ?? '', /^jwt-[0-9a-f-]{1,60}$/)
  assert.is(first?.id, second?.id)
  assert.is.not(first?.id, other?.id)
})

test('keys are fetched once, and again for an unknown kid: a rotated key is accepted at once', async () => {
  let time = Date.now()
  const { find } = connect({}, () => time)
  await Promise.all([1, 2, 3].map((jti) => find(rsa.sign(claims({ jti })))))
  assert.is(jwks.fetches(), 1)
  const next = createSigningKey('RS256', 'rsa-2')
  jwks.publish([rsa, next])
  time += 11_000
  assert.is((await find(next.sign(claims())))?.user, 'ada')
  assert.is((await find(rsa.sign(claims())))?.user, 'ada')
  assert.is(jwks.fetches(), 2)
})

test('a flood of unknown kids makes no request each', async () => {
  let time = Date.now()
  const { find } = connect({}, () => time)
  await find(rsa.sign(claims()))
  const evil = createSigningKey('RS256', 'evil')
  const flood = () =>
    Promise.all(
      Array.from({ length: 50 }, (_, number) => codeOf(find(evil.sign(claims(), { kid: `k${number}` })))),
    )
  assert.equal(new Set(await flood()), new Set(['token_invalid']))
  assert.is(jwks.fetches(), 1)
  time += 11_000
  assert.equal(new Set(await flood()), new Set(['token_invalid']))
  assert.is(jwks.fetches(), 2)
})

test('a withdrawn key is forgotten after some minutes, without a request that waits', async () => {
  let time = Date.now()
  const { find } = connect({}, () => time)
  let jti = 0
  const token = () => rsa.sign(claims({ jti: jti++ }))
  assert.is(await codeOf(find(token())), 'accepted')
  jwks.publish([ec])
  time += 11 * 60_000
  const fetched = new Promise<void>((resolve) => {
    jwks.respondWith((response) => {
      response.on('finish', resolve)
      response.setHeader('content-type', 'application/json')
      response.end(JSON.stringify({ keys: [ec.jwk] }))
    })
  })
  assert.is(await codeOf(find(token())), 'accepted')
  await fetched
  // A token with an unknown key waits until the answer was read.
  assert.is(await codeOf(find(createSigningKey('RS256', 'unknown').sign(claims()))), 'token_invalid')
  assert.is(await codeOf(find(token())), 'token_invalid')
  assert.is(await codeOf(find(ec.sign(claims()))), 'accepted')
})

test('a token that was accepted is trusted for a minute after its key was withdrawn, and no longer', async () => {
  const startMs = Date.now()
  let time = startMs
  const { find } = connect({}, () => time)
  const token = rsa.sign(claims({ exp: nowSeconds() + 9_000 }))
  assert.is(await codeOf(find(token)), 'accepted')
  const next = createSigningKey('RS256', 'next')
  jwks.publish([next])
  time = startMs + 11_000
  // Its key is unknown, so the keys are fetched again.
  assert.is(await codeOf(find(next.sign(claims()))), 'accepted')
  time = startMs + 59_999
  assert.is(await codeOf(find(token)), 'accepted')
  time = startMs + 60_000
  assert.is(await codeOf(find(token)), 'token_invalid')
})

test('a provider that is down matters only while its keys are unknown: 503, and one request in some seconds', async () => {
  let time = Date.now()
  const { find, warnings } = connect({}, () => time)
  const down = [
    (response: { destroy(): void }) => void response.destroy(),
    (response: { writeHead(status: number): { end(): void } }) => response.writeHead(500).end(),
    (response: { writeHead(status: number, headers: object): { end(): void } }) =>
      response.writeHead(302, { location: 'http://127.0.0.1/' }).end(),
    (response: { end(text: string): unknown }) => void response.end('not JSON'),
    (response: { end(text: string): unknown }) => void response.end('{"keys":7}'),
  ]
  for (const answer of down) {
    time += 6_000
    jwks.respondWith(answer)
    const before = jwks.fetches()
    const codes = await Promise.all([1, 2, 3].map((jti) => codeOf(find(rsa.sign(claims({ jti }))))))
    assert.equal(new Set(codes), new Set(['identity_provider_unavailable']))
    assert.is(await codeOf(find(rsa.sign(claims()))), 'identity_provider_unavailable')
    assert.is(jwks.fetches(), before + 1)
  }
  jwks.respondWith(undefined)
  time += 6_000
  assert.is(await codeOf(find(rsa.sign(claims()))), 'accepted')

  jwks.respondWith(down[0])
  time += 3_600_000
  assert.is(await codeOf(find(rsa.sign(claims({ exp: nowSeconds() + 9_000 })))), 'accepted')
  time += 6_000
  const unknown = createSigningKey('RS256', 'unknown')
  const later = claims({ exp: nowSeconds() + 9_000 })
  assert.is(await codeOf(find(unknown.sign(later))), 'identity_provider_unavailable')
  assert.is(await codeOf(find(rsa.sign({ ...later, jti: 'again' }))), 'accepted')
  // At most one line a minute.
  assert.is(warnings.length, 1)
})

test('a token without a kid is accepted if one published key can have signed it', async () => {
  const { find } = connect()
  assert.is(await codeOf(find(rsa.sign(claims(), { kid: undefined }))), 'accepted')
  jwks.publish([rsa, createSigningKey('RS256', 'rsa-2')])
  const several = connect()
  assert.is(await codeOf(several.find(rsa.sign(claims(), { kid: undefined }))), 'token_invalid')
})

test.run()
