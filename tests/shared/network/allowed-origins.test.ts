import {
  createAllowedOrigins,
  isOriginPattern,
  readOriginPatterns,
} from '@millrace/shared/network/allowed-origins.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('allowed origins')

const find = (allowed: string, origin: string, publicOrigin = 'https://media.example.com') =>
  createAllowedOrigins({ allowedOrigins: readOriginPatterns(allowed), publicOrigin }).find(origin)

test('origins are read into the form in which browsers send them', () => {
  assert.equal(
    readOriginPatterns(
      ' HTTPS://App.Example.COM:443, http://localhost:5173,,http://[::1]:80,https://*.Example.com:8443,https://app.example.com',
    ),
    ['https://app.example.com', 'http://localhost:5173', 'http://[::1]', 'https://*.example.com:8443'],
  )
  assert.equal(readOriginPatterns(''), [])
})

test('what is not an origin, or an origin of anyone, is no item of the list', () => {
  for (const wrong of [
    '*',
    'https://*',
    'https://*.com',
    'https://*.co.uk',
    'https://*.github.io',
    'https://*.localhost',
    'https://*.192.0.2.7',
    'http://*.example.com',
    'https://a.*.example.com',
    'https://*.*.example.com',
    'https://app*.example.com',
    'null',
    'app.example.com',
    'ftp://app.example.com',
    'https://app.example.com/',
    'https://app.example.com/path',
    'https://app.example.com?a',
    'https://evil.example#https://app.example.com',
    'https://evil.example\\@app.example.com',
    'https://user@app.example.com',
    'https://app.example.com.',
    'https://*.example.com.',
    'https://app..example.com',
    'https://app.example.com:x',
    'https://app.example.com:99999',
    'https://app%2eexample.com',
    'https://',
    'https://[::1',
    'https://a b',
  ]) {
    assert.is(isOriginPattern(wrong), false, wrong)
    assert.equal(readOriginPatterns(wrong), [], wrong)
  }
  for (const right of ['https://münchen.example', 'http://192.0.2.7:8080', 'https://*.shop.example.co.uk'])
    assert.is(isOriginPattern(right), true, right)
})

test('an origin is compared whole, and a wildcard stands for one or more labels', () => {
  const allowed = 'https://app.example.com,https://*.example.org,http://localhost:5173'
  for (const origin of [
    'https://app.example.com',
    'https://a.example.org',
    'https://a.b-c.example.org',
    'http://localhost:5173',
  ]) {
    assert.ok(find(allowed, origin), origin)
  }
  for (const origin of [
    '',
    'null',
    'https://example.org',
    'https://.example.org',
    'https://a..example.org',
    'https://evilexample.org',
    'https://a.example.org.',
    'https://a.example.org:444',
    'http://a.example.org',
    'https://a.example.org.evil.example',
    'https://evil.example#.example.org',
    'https://evil.example/.example.org',
    'https://user@a.example.org',
    'https://APP.example.com',
    'https://app.example.com:443',
    'https://app.example.com.',
    'https://app.example.com.evil.example',
    'https://app.example.com, https://app.example.com',
    'http://localhost:5174',
    'http://127.0.0.1:5173',
  ]) {
    assert.is(find(allowed, origin), undefined, origin)
  }
})

test('pages of one scheme and registrable domain are of one site, whatever their port', () => {
  const site = (page: string, own: string) => find(page, page, own)
  assert.is(site('https://app.example.com', 'https://media.example.com'), 'same-site')
  assert.is(site('https://example.com:8443', 'https://a.b.example.com'), 'same-site')
  assert.is(site('http://localhost:5173', 'http://localhost:3000'), 'same-site')
  assert.is(site('http://127.0.0.1:5173', 'http://127.0.0.1:3000'), 'same-site')
  assert.is(site('http://[::1]:5173', 'http://[::1]:3000'), 'same-site')
  assert.is(site('http://127.0.0.1:5173', 'http://localhost:3000'), 'other-site')
  assert.is(site('http://127.0.0.2:5173', 'http://127.0.0.1:3000'), 'other-site')
  assert.is(site('http://app.example.com', 'https://media.example.com'), 'other-site')
  assert.is(site('https://app.other.com', 'https://media.example.com'), 'other-site')
  assert.is(site('https://a.co.uk', 'https://b.co.uk'), 'other-site')
  assert.is(site('https://a.github.io', 'https://b.github.io'), 'other-site')
  assert.is(find('https://*.example.com', 'https://app.example.com'), 'same-site')
  assert.is(find('https://*.example.net', 'https://app.example.net'), 'other-site')
  // A name below a domain may be under a public suffix of its own.
  assert.is(
    find('https://*.amazonaws.com', 'https://a.s3.amazonaws.com', 'https://b.s3.amazonaws.com'),
    'other-site',
  )
})

test('the list says whether it has origins of the own site', () => {
  const create = (list: string) =>
    createAllowedOrigins({
      allowedOrigins: readOriginPatterns(list),
      publicOrigin: 'https://media.example.com',
    })
  assert.equal([create('').isEmpty, create('').hasSameSite], [true, false])
  assert.is(create('https://app.other.com,https://*.other.net').hasSameSite, false)
  assert.is(create('https://app.other.com,https://*.example.com').hasSameSite, true)
})

test.run()
