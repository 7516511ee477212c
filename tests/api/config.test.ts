import { generateKeyPairSync } from 'node:crypto'
import { readConfig } from '@millrace/api/config.ts'
import { EnvironmentError } from '@millrace/shared/service/environment.ts'
import * as assert from 'uvu/assert'
import { suite } from '../support/suite.ts'

const test = suite('API config')

const key = Buffer.alloc(32).toString('base64')
const required = {
  PUBLIC_ORIGIN: 'http://localhost:3000',
  REDIS_URL: 'redis://localhost',
  BUCKET: 'bucket',
  EVENTS_QUEUE_URL: 'http://localhost/queue',
  SESSION_KEYS: key,
}

function problemsOf(changes: Record<string, string>): readonly string[] {
  try {
    readConfig({ ...required, ...changes })
  } catch (error) {
    if (error instanceof EnvironmentError) return error.problems
    throw error
  }
  return []
}

test('API config accepts session keys of 32 bytes only', () => {
  assert.is(readConfig({ ...required, SESSION_KEYS: `${key},${key}` }).sessionKeys.length, 2)
  const problem = 'SESSION_KEYS must be keys of 32 bytes each in base64, comma separated.'
  for (const wrong of [
    'abc',
    `${key},`,
    `${key}, ${key}`,
    Buffer.alloc(31).toString('base64'),
    Buffer.alloc(33).toString('base64'),
    Buffer.alloc(32, 255).toString('base64').replaceAll('/', '_'),
  ]) {
    assert.equal(problemsOf({ SESSION_KEYS: wrong }), [problem], wrong)
  }
  assert.equal(problemsOf({ SESSION_KEYS: '' }), ['SESSION_KEYS is missing.'])
})

test('API config accepts an origin as PUBLIC_ORIGIN, and hosts with or without a port as ALLOWED_HOSTS', () => {
  const problem =
    'PUBLIC_ORIGIN must be an http:// or https:// origin, or one with a path of letters, digits, - and _ and without a slash at its end.'
  for (const wrong of [
    'localhost',
    'http://',
    'http://a b',
    'http://[::1',
    'http://a:x',
    'ftp://a',
    'http://a/',
    'http://a/media/',
    'http://a/x/../y',
    'http://a/%61',
    'http://a//b',
    'http://a?b',
    'http://a/b#c',
  ]) {
    assert.equal(problemsOf({ PUBLIC_ORIGIN: wrong }), [problem], wrong)
  }
  for (const [text, publicOrigin, publicPath] of [
    ['https://app.example:8443', 'https://app.example:8443', ''],
    ['https://app.example/media', 'https://app.example', '/media'],
    ['http://[::1]:3000/a-1/b_2', 'http://[::1]:3000', '/a-1/b_2'],
  ] as const) {
    const config = readConfig({ ...required, PUBLIC_ORIGIN: text })
    assert.equal([config.publicOrigin, config.publicPath], [publicOrigin, publicPath])
  }
  const allowed = ['Files.example', 'a', '192.0.2.7:3000', 'a:80', '[2001:db8::1]:3000']
  assert.equal(readConfig({ ...required, ALLOWED_HOSTS: allowed.join(', ') }).allowedHosts, allowed)
  for (const wrong of ['*', '*.example', 'http://a', 'a/b', 'a b', 'u@a', '[::1', 'a:x']) {
    assert.match(problemsOf({ ALLOWED_HOSTS: wrong })[0] ?? '', 'ALLOWED_HOSTS is ', wrong)
  }
})

test('API config reports every wrong entry of API_KEYS and quotes none', () => {
  const hash = 'ab'.repeat(32)
  assert.equal(problemsOf({ API_KEYS: `s-1/admin/${hash},ok/admin/${hash},ok/admin/${hash}0` }), [
    'API_KEYS: entry 1 must be owner/scope+scope/sha256; its owner must be up to 63 lower-case letters, digits and dashes, and must not begin with a dash, "s-" or "u-".',
    'API_KEYS: entry 3 must be owner/scope+scope/sha256; its hash must be 64 lower-case hexadecimal digits.',
  ])
})

test('API config reads the identity provider of an app, and requires issuer, audience and tenant with its keys', () => {
  const url = 'https://id.example/jwks.json'
  const secret = 'a'.repeat(32)
  const provider = {
    JWT_JWKS_URL: url,
    JWT_ISSUER: 'https://id.example/',
    JWT_AUDIENCE: 'a, b',
    JWT_TENANT: 'acme',
  }
  assert.equal(readConfig({ ...required, ...provider }).jwt, {
    jwksUrl: url,
    secret: undefined,
    issuer: 'https://id.example/',
    audiences: ['a', 'b'],
    audienceClaim: 'aud',
    tenant: { name: 'acme' },
    userClaim: 'sub',
    scopes: ['uploads:read', 'uploads:write'],
    scopesClaim: undefined,
  })
  assert.is(readConfig(required).jwt, undefined)
  assert.equal(problemsOf({ JWT_JWKS_URL: url }).toSorted(), [
    'JWT_AUDIENCE is missing; JWT_JWKS_URL requires it.',
    'JWT_ISSUER is missing; JWT_JWKS_URL requires it.',
    'JWT_TENANT or JWT_TENANT_CLAIM is missing; JWT_JWKS_URL requires one of them.',
  ])
  assert.equal(problemsOf({ JWT_SECRET: secret, JWT_TENANT: 'a', JWT_AUDIENCE: 'a' }), [
    'JWT_ISSUER is missing; JWT_SECRET requires it.',
  ])
  assert.equal(problemsOf({ JWT_ISSUER: 'a', JWT_TENANT: 'a' }), [
    'JWT_ISSUER is set, but neither JWT_JWKS_URL nor JWT_SECRET is; one is required.',
    'JWT_TENANT is set, but neither JWT_JWKS_URL nor JWT_SECRET is; one is required.',
  ])
  assert.equal(problemsOf({ ...provider, JWT_TENANT_CLAIM: 'tenant' }), [
    'JWT_TENANT and JWT_TENANT_CLAIM are both set; allowed: one of them.',
  ])
  for (const [name, wrong, problem] of [
    ['JWT_SECRET', 'a'.repeat(31), 'must be a secret text of at least 32 bytes, not a PEM.'],
    [
      'JWT_SECRET',
      `-----BEGIN PUBLIC KEY-----${secret}`,
      'must be a secret text of at least 32 bytes, not a PEM.',
    ],
    ['JWT_AUDIENCE', ' , ', 'must be at least one audience, comma separated.'],
    ['JWT_AUDIENCE_CLAIM', 'sub', 'is "sub"; allowed: aud, azp, client_id.'],
    [
      'JWT_TENANT',
      'u-1',
      'is "u-1"; it must be up to 63 lower-case letters, digits and dashes, not beginning with a dash, "s-" or "u-".',
    ],
    [
      'JWT_SCOPES',
      'uploads:read admin',
      'is "uploads:read admin"; it must be one or more of uploads:read, uploads:write, comma separated.',
    ],
    ['JWT_USER_CLAIM', 'a b', 'is "a b"; it must be the name of a claim, or its path with dots.'],
  ] as const) {
    assert.equal(problemsOf({ ...provider, [name]: wrong }), [`${name} ${problem}`], wrong)
  }
})

test('API config accepts every scope in API_KEYS', () => {
  const scopes = ['uploads:read', 'uploads:write', 'act-as', 'tokens', 'tenant', 'admin']
  const [key] = readConfig({
    ...required,
    API_KEYS: `acme/${scopes.join('+')}/${'ab'.repeat(32)}`,
  }).apiKeys
  assert.equal([key?.tenant, [...(key?.scopes ?? [])]], ['acme', scopes])
  assert.equal(problemsOf({ API_KEYS: `acme/root/${'ab'.repeat(32)}` }), [
    'API_KEYS: entry 1 must be owner/scope+scope/sha256; its scopes must be of uploads:read, uploads:write, act-as, tokens, tenant, admin.',
  ])
})

test('API config reads CloudFront settings and requires all of them with CDN_ORIGIN', () => {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
  const cdn = {
    CDN_ORIGIN: 'https://d1.cloudfront.net',
    CDN_KEY_PAIR_ID: 'K1',
    CDN_PRIVATE_KEY: Buffer.from(pem).toString('base64'),
  }
  assert.equal(readConfig({ ...required, ...cdn }).cdn, {
    origin: cdn.CDN_ORIGIN,
    keyPairId: 'K1',
    privateKey: pem,
  })
  assert.is(readConfig(required).cdn, undefined)
  assert.equal(problemsOf({ CDN_ORIGIN: cdn.CDN_ORIGIN }), [
    'CDN_KEY_PAIR_ID is missing; CDN_ORIGIN requires it.',
    'CDN_PRIVATE_KEY is missing; CDN_ORIGIN requires it.',
  ])
})

test.run()
