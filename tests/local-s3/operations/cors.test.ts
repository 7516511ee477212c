import type { CORSRule } from '@aws-sdk/client-s3'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { openContractTarget } from '../support/contract-target.ts'
import { expectS3Error } from '../support/expect-s3-error.ts'
import { errorCode, type RawResponse, send, signedRequest } from '../support/raw-http.ts'

const target = await openContractTarget()
const { client, bucket, prefix, endpoint } = target
const path = `/${bucket}/${prefix}cors`
const origin = 'https://app.example.com'

const configure = (...CORSRules: CORSRule[]) =>
  client.putBucketCors({ Bucket: bucket, CORSConfiguration: { CORSRules } })

function preflight(headers: Record<string, string>): Promise<RawResponse> {
  return send(endpoint, { method: 'OPTIONS', path, headers })
}

const uploads: CORSRule = {
  // `null` is what browsers send after a redirect between origins.
  AllowedOrigins: [origin, 'https://*.example.org', 'null'],
  AllowedMethods: ['GET', 'PUT', 'POST'],
  AllowedHeaders: ['content-type', 'x-amz-*'],
  ExposeHeaders: ['ETag', 'x-amz-request-id'],
  MaxAgeSeconds: 600,
}

const test = suite('S3 CORS')
// On AWS a new configuration may take seconds to reach all hosts. So all tests except for the last use the same one.
test.before(async () => {
  await client.putObject({ Bucket: bucket, Key: `${prefix}cors`, Body: 'x' })
  await configure(uploads)
})
test.after(() => target.close())

test('GetBucketCors returns the stored configuration', async () => {
  assert.equal((await client.getBucketCors({ Bucket: bucket })).CORSRules, [uploads])
})

test('a preflight request that a rule allows succeeds without a signature', async () => {
  const response = await preflight({
    origin,
    'access-control-request-method': 'PUT',
    'access-control-request-headers': 'Content-Type, X-Amz-Meta-Name',
  })
  assert.is(response.status, 200)
  const { headers } = response
  assert.is(headers['access-control-allow-origin'], origin)
  assert.is(headers['access-control-allow-methods'], 'GET, PUT, POST')
  assert.is(headers['access-control-allow-headers'], 'content-type, x-amz-meta-name')
  assert.is(headers['access-control-expose-headers'], 'ETag, x-amz-request-id')
  assert.is(headers['access-control-max-age'], '600')
  assert.match(headers.vary ?? '', 'Origin')
})

test('an allowed origin with a wildcard matches its subdomains, and null the origin null', async () => {
  for (const allowed of ['https://tenant.example.org', 'https://a.b.example.org', 'null']) {
    const { status, headers } = await preflight({ origin: allowed, 'access-control-request-method': 'GET' })
    assert.equal(
      [status, headers['access-control-allow-origin'], headers['access-control-allow-credentials']],
      [200, allowed, 'true'],
    )
  }
})

test('a preflight request that no rule allows returns 403', async () => {
  for (const headers of [
    { origin: 'https://evil.example', 'access-control-request-method': 'PUT' },
    { origin: `${origin}.evil.example`, 'access-control-request-method': 'PUT' },
    { origin, 'access-control-request-method': 'DELETE' },
    { origin, 'access-control-request-method': 'PUT', 'access-control-request-headers': 'authorization' },
  ]) {
    const response = await preflight(headers)
    assert.equal([response.status, errorCode(response)], [403, 'AccessForbidden'])
    assert.is(response.headers['access-control-allow-origin'], undefined)
  }
})

test('an invalid preflight request returns 400', async () => {
  assert.is((await preflight({ 'access-control-request-method': 'PUT' })).status, 400)
  assert.is((await preflight({ origin, 'access-control-request-method': 'BREW' })).status, 400)
  if (target.isLocal) {
    const odd = {
      origin,
      'access-control-request-method': 'PUT',
      'access-control-request-headers': 'x-\u00e9',
    }
    assert.is((await preflight(odd)).status, 400)
  }
})

test('success and error responses have the CORS headers', async () => {
  const unsignedHeaders = { origin }
  const served = await send(
    endpoint,
    signedRequest(target, { method: 'GET', path, unsigned: unsignedHeaders }),
  )
  assert.is(served.status, 200)
  const unsigned = await send(endpoint, { method: 'GET', path, headers: unsignedHeaders })
  assert.is(unsigned.status, 403)
  const missing = await send(
    endpoint,
    signedRequest(target, { method: 'GET', path: `${path}-no`, unsigned: unsignedHeaders }),
  )
  assert.is(missing.status, 404)
  for (const response of [served, unsigned, missing]) {
    assert.is(response.headers['access-control-allow-origin'], origin)
    assert.is(response.headers['access-control-expose-headers'], 'ETag, x-amz-request-id')
    assert.match(response.headers.vary ?? '', 'Origin')
  }
})

test('a rejected form post has the CORS headers', async () => {
  const body = '--b\r\nContent-Disposition: form-data; name="key"\r\n\r\nx\r\n--b--\r\n'
  const headers = {
    origin,
    'content-type': 'multipart/form-data; boundary=b',
    'content-length': String(body.length),
  }
  const response = await send(endpoint, { method: 'POST', path: `/${bucket}`, headers, body })
  assert.equal([response.status, errorCode(response)], [400, 'InvalidArgument'])
  assert.is(response.headers['access-control-allow-origin'], origin)
})

test('a response to another origin has no CORS headers', async () => {
  const request = signedRequest(target, { method: 'GET', path, unsigned: { origin: 'https://evil.example' } })
  const response = await send(endpoint, request)
  assert.equal([response.status, response.headers['access-control-allow-origin']], [200, undefined])
})

test('an invalid CORS configuration is rejected', async () => {
  const base = { AllowedOrigins: ['*'], AllowedMethods: ['GET'] }
  await expectS3Error(configure({ ...base, AllowedMethods: ['PATCH'] }), 'InvalidRequest', 400)
  await expectS3Error(configure({ ...base, AllowedOrigins: ['https://*.a.*'] }), 'InvalidRequest', 400)
  await expectS3Error(configure({ ...base, ExposeHeaders: ['x-*'] }), 'InvalidRequest', 400)
  await expectS3Error(configure({ ...base, AllowedOrigins: [] }), 'MalformedXML', 400)
  await expectS3Error(configure(), 'MalformedXML', 400)
  assert.equal((await client.getBucketCors({ Bucket: bucket })).CORSRules, [uploads])
})

if (target.isLocal) {
  // Local only: AWS applies a changed configuration with a delay.
  test('a rule for any origin returns * without credentials', async () => {
    await configure({ AllowedOrigins: ['*'], AllowedMethods: ['GET'] })
    const response = await preflight({ origin: 'null', 'access-control-request-method': 'GET' })
    assert.equal([response.status, response.headers['access-control-allow-origin']], [200, '*'])
    assert.is(response.headers['access-control-allow-credentials'], undefined)
  })

  test('a bucket without a CORS configuration rejects preflight requests', async () => {
    await client.deleteBucketCors({ Bucket: bucket })
    await expectS3Error(client.getBucketCors({ Bucket: bucket }), 'NoSuchCORSConfiguration', 404)
    const response = await preflight({ origin, 'access-control-request-method': 'GET' })
    assert.equal([response.status, errorCode(response)], [403, 'AccessForbidden'])
  })
}

test.run()
