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
  const problem = 'PUBLIC_ORIGIN must be an http:// or https:// origin without a path.'
  for (const wrong of [
    'localhost',
    'http://',
    'http://a b',
    'http://[::1',
    'http://a:x',
    'ftp://a',
    'http://a/',
  ]) {
    assert.equal(problemsOf({ PUBLIC_ORIGIN: wrong }), [problem], wrong)
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
