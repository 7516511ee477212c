import { createHash } from 'node:crypto'
import { GetObjectCommand, HeadObjectCommand, PutObjectCommand } from '@aws-sdk/client-s3'
import { getSignedUrl } from '@aws-sdk/s3-request-presigner'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { createClient, openContractTarget } from '../support/contract-target.ts'
import { amzDate, createSigner, errorCode, send, signedRequest } from '../support/raw-http.ts'

const target = await openContractTarget()
const { client, plainClient, bucket, prefix, endpoint, region, credentials } = target
const path = `/${bucket}/${prefix}object`
const object = { Bucket: bucket, Key: `${prefix}object` }
const minute = 60_000

/** Returns a presigned GET as a URL object, so that tests can change it. */
async function presigned(expiresIn = 900, signingDate = new Date()): Promise<URL> {
  return new URL(await getSignedUrl(client, new GetObjectCommand(object), { expiresIn, signingDate }))
}

async function get(url: URL) {
  return send(url.origin, { method: 'GET', path: url.pathname + url.search })
}

const test = suite('S3 signatures')
test.before(() => client.putObject({ ...object, Body: 'signed' }))
test.after(() => target.close())

test("a request signed by the test's own signer succeeds", async () => {
  const response = await send(endpoint, signedRequest(target, { method: 'GET', path }))
  assert.equal([response.status, response.body], [200, 'signed'])
})

test("an unsigned request returns AccessDenied in S3's error document", async () => {
  const response = await send(endpoint, { method: 'GET', path })
  assert.is(response.status, 403)
  assert.is(response.headers['content-type'], 'application/xml')
  assert.is(errorCode(response), 'AccessDenied')
  assert.match(response.body, `<RequestId>${response.headers['x-amz-request-id']}</RequestId>`)
  for (const method of ['PUT', 'DELETE', 'HEAD', 'POST']) {
    assert.is((await send(endpoint, { method, path, headers: { 'content-length': '0' } })).status, 403)
  }
})

test('a wrong secret returns SignatureDoesNotMatch, an unknown key id InvalidAccessKeyId', async () => {
  const wrongSecret = { ...target, credentials: { ...credentials, secretAccessKey: 'wrong' } }
  const mismatch = await send(endpoint, signedRequest(wrongSecret, { method: 'GET', path }))
  assert.equal([mismatch.status, errorCode(mismatch)], [403, 'SignatureDoesNotMatch'])
  const unknown = { ...target, credentials: { accessKeyId: 'AKIAUNKNOWN', secretAccessKey: 'x' } }
  const invalid = await send(endpoint, signedRequest(unknown, { method: 'GET', path }))
  assert.equal([invalid.status, errorCode(invalid)], [403, 'InvalidAccessKeyId'])
})

test('a signature covers method, path, query, signed headers and payload hash', async () => {
  const request = signedRequest(target, {
    method: 'GET',
    path,
    headers: { 'x-amz-checksum-mode': 'ENABLED' },
  })
  const variants = [
    { ...request, method: 'DELETE' },
    { ...request, path: `${path}x` },
    { ...request, path: `${path}?response-content-type=text%2Fhtml` },
    { ...request, headers: { ...request.headers, 'x-amz-checksum-mode': 'DISABLED' } },
    { ...request, headers: { ...request.headers, 'x-amz-content-sha256': 'UNSIGNED-PAYLOAD' } },
    { ...request, headers: { ...request.headers, 'x-amz-date': amzDate(Date.now() + minute) } },
  ]
  for (const variant of variants) {
    const response = await send(endpoint, variant)
    assert.equal([response.status, errorCode(response)], [403, 'SignatureDoesNotMatch'])
  }
  assert.is((await send(endpoint, request)).status, 200)
})

test('a request with an unsigned x-amz- header is rejected', async () => {
  const request = signedRequest(target, {
    method: 'PUT',
    path,
    body: 'x',
    headers: { 'content-length': '1' },
    unsigned: { 'x-amz-meta-smuggled': 'yes' },
  })
  const response = await send(endpoint, request)
  assert.equal([response.status, errorCode(response)], [403, 'AccessDenied'])
  assert.match(response.body, '<HeadersNotSigned>x-amz-meta-smuggled</HeadersNotSigned>')
})

test("a signing time may differ from the server's by at most 15 minutes", async () => {
  const at = (time: number) => send(endpoint, signedRequest(target, { method: 'GET', path, time }))
  assert.is((await at(Date.now() - 14 * minute)).status, 200)
  assert.is((await at(Date.now() + 14 * minute)).status, 200)
  for (const time of [Date.now() - 16 * minute, Date.now() + 16 * minute]) {
    const response = await at(time)
    assert.equal([response.status, errorCode(response)], [403, 'RequestTimeTooSkewed'])
  }
})

test('a signature for another region is rejected and the error names the right region', async () => {
  const elsewhere = { ...target, region: region === 'ap-south-1' ? 'eu-west-1' : 'ap-south-1' }
  const response = await send(endpoint, signedRequest(elsewhere, { method: 'GET', path }))
  assert.equal([response.status, errorCode(response)], [400, 'AuthorizationHeaderMalformed'])
  assert.match(response.body, `<Region>${region}</Region>`)
})

test('a malformed Authorization header returns 400 or 403', async () => {
  const { headers } = signedRequest(target, { method: 'GET', path })
  for (const [authorization, code] of [
    ['', 'InvalidRequest'],
    ['x', 'InvalidRequest'],
    ['Bearer abc', 'InvalidRequest'],
    ['AWS AKID:c2ln', 'InvalidRequest'],
    ['AWS4-HMAC-SHA256', 'InvalidRequest'],
    ['AWS4-HMAC-SHA256 Credential=,SignedHeaders=,Signature=', 'AuthorizationHeaderMalformed'],
  ] as const) {
    const response = await send(endpoint, { method: 'GET', path, headers: { ...headers, authorization } })
    // The codes were not compared with those of AWS.
    if (target.isLocal) assert.equal([response.status, errorCode(response)], [400, code], authorization)
    else assert.ok([400, 403].includes(response.status), `${authorization}: ${response.status}`)
  }
  const withoutHash: Record<string, string> = { ...headers }
  delete withoutHash['x-amz-content-sha256']
  assert.is(errorCode(await send(endpoint, { method: 'GET', path, headers: withoutHash })), 'InvalidRequest')
})

test('a presigned URL works until it expires', async () => {
  const fresh = await get(await presigned())
  assert.equal([fresh.status, fresh.body], [200, 'signed'])
  const expired = await get(await presigned(60, new Date(Date.now() - 2 * minute)))
  assert.equal([expired.status, errorCode(expired)], [403, 'AccessDenied'])
  assert.match(expired.body, '<Message>Request has expired</Message>')
  const early = await get(await presigned(60, new Date(Date.now() + 20 * minute)))
  assert.equal([early.status, errorCode(early)], [403, 'AccessDenied'])
})

test('a presigned URL is valid for at most seven days', async () => {
  assert.is((await get(await presigned(604_800))).status, 200)
  const url = await presigned()
  for (const expires of ['604801', '-1', 'soon', '']) {
    url.searchParams.set('X-Amz-Expires', expires)
    const response = await get(url)
    assert.equal([response.status, errorCode(response)], [400, 'AuthorizationQueryParametersError'])
  }
})

test('a changed presigned URL is rejected', async () => {
  const changes: ((url: URL) => void)[] = [
    (url) => url.searchParams.set('X-Amz-Expires', '901'),
    (url) => url.searchParams.set('response-content-type', 'text/html'),
    (url) => {
      url.pathname += 'x'
    },
    (url) => url.searchParams.set('X-Amz-Signature', '0'.repeat(64)),
    (url) => url.searchParams.set('X-Amz-Signature', 'short'),
  ]
  for (const change of changes) {
    const url = await presigned()
    change(url)
    const response = await get(url)
    assert.equal([response.status, errorCode(response)], [403, 'SignatureDoesNotMatch'])
  }
  const url = await presigned()
  const asDelete = await send(url.origin, { method: 'DELETE', path: url.pathname + url.search })
  assert.is(errorCode(asDelete), 'SignatureDoesNotMatch')
})

test('a presigned URL with an Authorization header is rejected', async () => {
  const url = await presigned()
  const { headers } = signedRequest(target, { method: 'GET', path })
  const response = await send(url.origin, { method: 'GET', path: url.pathname + url.search, headers })
  assert.equal([response.status, errorCode(response)], [400, 'InvalidArgument'])
})

test('a presigned PUT accepts any content type and stores the metadata of its URL', async () => {
  const command = new PutObjectCommand({ Bucket: bucket, Key: `${prefix}put`, Metadata: { owner: 'me' } })
  const url = new URL(await getSignedUrl(plainClient, command))
  const headers = { 'content-type': 'image/png', 'content-length': '4' }
  const request = { method: 'PUT', path: url.pathname + url.search, headers, body: 'abcd' }
  assert.is((await send(endpoint, request)).status, 200)
  const head = await client.headObject({ Bucket: bucket, Key: `${prefix}put` })
  assert.equal([head.ContentType, head.ContentLength, head.Metadata], ['image/png', 4, { owner: 'me' }])
})

test('a presigned PUT requires the values of its signed headers', async () => {
  const command = new PutObjectCommand({ Bucket: bucket, Key: `${prefix}typed`, ContentType: 'image/png' })
  const signed = await getSignedUrl(plainClient, command, {
    signableHeaders: new Set(['host', 'content-type']),
  })
  const url = new URL(signed)
  const put = (type: string) =>
    send(endpoint, {
      method: 'PUT',
      path: url.pathname + url.search,
      headers: { 'content-type': type, 'content-length': '1' },
      body: 'x',
    })
  assert.is(errorCode(await put('text/html')), 'SignatureDoesNotMatch')
  assert.is((await put('image/png')).status, 200)
})

test('a URL or header with Signature V2 is rejected with one sentence', async () => {
  // AWS accepts Signature V2 in the regions that are older than it.
  if (!target.isLocal) return
  const query = `AWSAccessKeyId=${credentials.accessKeyId}&Expires=${Math.floor(Date.now() / 1000) + 900}&Signature=c2ln`
  const inQuery = await send(endpoint, { method: 'GET', path: `${path}?${query}` })
  const authorization = `AWS ${credentials.accessKeyId}:c2ln`
  const inHeader = await send(endpoint, { method: 'GET', path, headers: { authorization } })
  for (const response of [inQuery, inHeader]) {
    assert.equal([response.status, errorCode(response)], [400, 'InvalidRequest'])
    assert.match(
      response.body,
      '<Message>The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.</Message>',
    )
  }
})

/** Returns a presigned PUT that signs these headers, and a function that sends it with others. */
async function presignedPut(name: string, signed: Record<string, string>) {
  const url = new URL(`${endpoint}/${bucket}/${prefix}${name}`)
  const date = amzDate()
  const { scope, sign } = createSigner(target, date)
  const headers: Record<string, string> = { ...signed, host: url.host }
  const names = Object.keys(headers).sort()
  const token = credentials.sessionToken
  const query = Object.entries({
    'X-Amz-Algorithm': 'AWS4-HMAC-SHA256',
    'X-Amz-Credential': `${credentials.accessKeyId}/${scope}`,
    'X-Amz-Date': date,
    'X-Amz-Expires': '900',
    ...(token === undefined ? {} : { 'X-Amz-Security-Token': token }),
    'X-Amz-SignedHeaders': names.join(';'),
  })
    .map(([key, value]) => `${key}=${encodeURIComponent(value)}`)
    .join('&')
  const canonical = [
    'PUT',
    url.pathname,
    query,
    ...names.map((key) => `${key}:${headers[key]}`),
    '',
    names.join(';'),
    'UNSIGNED-PAYLOAD',
  ].join('\n')
  const hash = createHash('sha256').update(canonical).digest('hex')
  const signature = sign(['AWS4-HMAC-SHA256', date, scope, hash].join('\n'))
  return (sent: Record<string, string>, body: string) =>
    send(endpoint, {
      method: 'PUT',
      path: `${url.pathname}?${query}&X-Amz-Signature=${signature}`,
      headers: { 'content-length': String(Buffer.byteLength(body)), ...sent },
      body,
    })
}

test('a presigned PUT is bound to the length, type and metadata that it signs', async () => {
  const signed = {
    'content-length': '4',
    'content-type': 'image/png',
    'x-amz-meta-owner': 'me',
  }
  const put = await presignedPut('bound', signed)
  const { 'content-type': _type, ...untyped } = signed
  const { 'x-amz-meta-owner': _owner, ...unowned } = signed
  const refused = [
    put({ ...signed, 'content-length': '5' }, 'abcde'),
    put({ ...signed, 'content-length': '3' }, 'abc'),
    put({ ...signed, 'content-type': 'text/html' }, 'abcd'),
    put({ ...signed, 'x-amz-meta-owner': 'you' }, 'abcd'),
    put(untyped, 'abcd'),
    put(unowned, 'abcd'),
  ]
  for (const response of await Promise.all(refused)) {
    assert.equal([response.status, errorCode(response)], [403, 'SignatureDoesNotMatch'])
  }
  const smuggled = await put({ ...signed, 'x-amz-meta-more': 'unsigned' }, 'abcd')
  assert.equal([smuggled.status, errorCode(smuggled)], [403, 'AccessDenied'])
  assert.match(smuggled.body, 'There were headers present in the request which were not signed')
  assert.match(smuggled.body, '<HeadersNotSigned>x-amz-meta-more</HeadersNotSigned>')
  assert.is((await put(signed, 'abcd')).status, 200)
  const head = await client.headObject({ Bucket: bucket, Key: `${prefix}bound` })
  assert.equal([head.ContentLength, head.ContentType, head.Metadata], [4, 'image/png', { owner: 'me' }])
})

test('a presigned PUT that signs If-None-Match: * stores one object, also if it is sent at the same time', async () => {
  const condition = { 'if-none-match': '*' }
  const put = await presignedPut('single-use', condition)
  const unconditional = await put({}, 'first')
  assert.equal([unconditional.status, errorCode(unconditional)], [403, 'SignatureDoesNotMatch'])
  assert.is((await put(condition, 'first')).status, 200)
  const again = await put(condition, 'second')
  assert.equal([again.status, errorCode(again)], [412, 'PreconditionFailed'])

  const race = await presignedPut('single-use-race', condition)
  const responses = await Promise.all(['a', 'b', 'c'].map((body) => race(condition, body.repeat(200_000))))
  assert.is(responses.filter(({ status }) => status === 200).length, 1)
  for (const { status } of responses) assert.ok([200, 409, 412].includes(status), String(status))
})

test('a presigned URL for HeadObject works with HEAD', async () => {
  const url = new URL(await getSignedUrl(client, new HeadObjectCommand(object)))
  const head = await send(url.origin, { method: 'HEAD', path: url.pathname + url.search })
  assert.equal([head.status, head.body, head.headers['content-length']], [200, '', '6'])
})

test('an SDK call with a wrong secret fails with SignatureDoesNotMatch', async () => {
  const wrongClient = createClient({
    endpoint,
    region,
    credentials: { ...credentials, secretAccessKey: 'no' },
  })
  let name = ''
  await wrongClient.listObjectsV2({ Bucket: bucket }).catch((error: Error) => {
    name = error.name
  })
  wrongClient.destroy()
  assert.is(name, 'SignatureDoesNotMatch')
})

test.run()
