import { createHash } from 'node:crypto'
import { GetObjectCommand, S3Client } from '@aws-sdk/client-s3'
import { getSignedUrl } from '@aws-sdk/s3-request-presigner'
import { S3Error } from '@millrace/local-s3/protocol/s3-error.ts'
import { createSignatureV4 } from '@millrace/local-s3/signing/signature-v4.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { exchangeOf, type SentRequest } from '../support/exchange-of.ts'
import { amzDate, createSigner, signedRequest } from '../support/raw-http.ts'

const test = suite('times of S3 signatures')
const region = 'eu-central-1'
const credentials = { accessKeyId: 'AKIDLOCAL', secretAccessKey: 'secret/key+' }
const endpoint = 'http://127.0.0.1:9000'
const target = { endpoint, region, credentials }
const s3 = new S3Client({ region, credentials, endpoint, forcePathStyle: true })
const signatureV4 = createSignatureV4({ region, credentials })
const minuteMs = 60_000
/** Not midnight, so that days do not change within the times of a test. */
const signedAtMs = Date.parse('2026-11-23T12:00:00Z')

test.after(() => s3.destroy())

/** Returns the error code and the message of a refused request, `accepted` otherwise. */
function verify(request: SentRequest, nowMs: number): string {
  try {
    signatureV4.verify(exchangeOf(request), nowMs)
    return 'accepted'
  } catch (error) {
    if (error instanceof S3Error) return `${error.code}: ${error.message}`
    throw error
  }
}

/** Signs a GET in its headers. */
const inHeaders = (time = signedAtMs) => signedRequest(target, { method: 'GET', path: '/bucket/key', time })

/** Signs a URL. `change` modifies it afterwards. */
async function inUrl(expiresIn: number, change: (url: URL) => void = () => undefined): Promise<SentRequest> {
  const command = new GetObjectCommand({ Bucket: 'bucket', Key: 'key' })
  const url = new URL(await getSignedUrl(s3, command, { expiresIn, signingDate: new Date(signedAtMs) }))
  change(url)
  return { method: 'GET', path: url.pathname + url.search, headers: { host: url.host } }
}

test('a signature in headers is valid for exactly 15 minutes before and after its time', () => {
  const request = inHeaders()
  for (const direction of [-1, 1]) {
    assert.is(verify(request, signedAtMs + direction * 15 * minuteMs), 'accepted')
    assert.match(verify(request, signedAtMs + direction * (15 * minuteMs + 1)), /^RequestTimeTooSkewed: /)
  }
})

test('requests of one day and of the next are accepted in any order', () => {
  for (const day of [0, 1, 0, 1]) {
    const timeMs = signedAtMs + day * 24 * 60 * minuteMs
    assert.is(verify(inHeaders(timeMs), timeMs), 'accepted')
  }
})

test('a signed URL is valid until exactly the end of its life', async () => {
  for (const seconds of [1, 60, 3600, 604_800]) {
    const request = await inUrl(seconds)
    const endMs = signedAtMs + seconds * 1000
    assert.equal(
      [signedAtMs, endMs, endMs + 1].map((nowMs) => verify(request, nowMs)),
      ['accepted', 'accepted', 'AccessDenied: Request has expired'],
      `${seconds} s`,
    )
  }
})

test('a signed URL is valid from exactly 15 minutes before its time', async () => {
  const request = await inUrl(60)
  assert.is(verify(request, signedAtMs - 15 * minuteMs), 'accepted')
  assert.is(verify(request, signedAtMs - 15 * minuteMs - 1), 'AccessDenied: Request is not yet valid')
})

test('a URL that is signed for more than seven days is refused', async () => {
  const request = await inUrl(604_800, (url) => url.searchParams.set('X-Amz-Expires', '604801'))
  assert.match(verify(request, signedAtMs), /^AuthorizationQueryParametersError: .* less than a week/)
})

/** Signs a GET at `signedAtMs` with headers of the test. */
function withHeaders(added: Record<string, string>): SentRequest {
  const date = amzDate(signedAtMs)
  const payload = 'UNSIGNED-PAYLOAD'
  const headers: Record<string, string> = {
    ...{ host: new URL(endpoint).host, 'x-amz-content-sha256': payload, ...added },
  }
  const names = Object.keys(headers).sort()
  const lines = names.map((name) => `${name}:${headers[name]}`)
  const canonical = ['GET', '/bucket/key', '', ...lines, '', names.join(';'), payload].join('\n')
  const { scope, sign } = createSigner(target, date)
  const hash = createHash('sha256').update(canonical).digest('hex')
  const authorization = [
    `AWS4-HMAC-SHA256 Credential=${credentials.accessKeyId}/${scope}`,
    `SignedHeaders=${names.join(';')}`,
    `Signature=${sign(['AWS4-HMAC-SHA256', date, scope, hash].join('\n'))}`,
  ].join(', ')
  return { method: 'GET', path: '/bucket/key', headers: { ...headers, authorization } }
}

test('the time of a request is that of x-amz-date, otherwise that of Date', () => {
  const missing = 'AccessDenied: AWS authentication requires a valid Date or x-amz-date header'
  for (const [headers, expected] of [
    [{ date: 'Mon, 23 Nov 2026 12:00:00 GMT' }, 'accepted'],
    [{ date: 'Mon, 23 Nov 2026 10:00:00 GMT', 'x-amz-date': '20261123T120000Z' }, 'accepted'],
    [{ date: 'soon', 'x-amz-date': '20261123T120000Z' }, 'accepted'],
    [{}, missing],
    [{ date: 'soon' }, missing],
    [{ 'x-amz-date': '2026-11-23T12:00:00Z' }, missing],
  ] as const) {
    assert.is(verify(withHeaders(headers), signedAtMs), expected, JSON.stringify(headers))
  }
})

test('a URL that names another algorithm, or none, is refused before its signature is compared', async () => {
  for (const algorithm of ['AWS4-ECDSA-P256-SHA256', '']) {
    const request = await inUrl(60, ({ searchParams }) => searchParams.set('X-Amz-Algorithm', algorithm))
    assert.match(verify(request, signedAtMs), /^AuthorizationQueryParametersError: /)
  }
})

test('each part of the scope of a credential must be right', async () => {
  const scope = ['20261123', region, 's3', 'aws4_request']
  const changes: [position: number, value: string, message: RegExp][] = [
    [0, '20261122', /Invalid credential date "20261122"/],
    [0, '2026112', /Invalid credential date "2026112"/],
    [1, 'us-east-1', /The region 'us-east-1' is wrong; expecting 'eu-central-1'/],
    [2, 'sqs', /Incorrect service "sqs"/],
    [3, 'aws3_request', /The Credential is malformed/],
  ]
  for (const [position, value, message] of changes) {
    const changed = `${credentials.accessKeyId}/${scope.with(position, value).join('/')}`
    const url = await inUrl(60, ({ searchParams }) => searchParams.set('X-Amz-Credential', changed))
    assert.match(verify(url, signedAtMs), /^AuthorizationQueryParametersError: /)
    assert.match(verify(url, signedAtMs), message)
    const { headers, ...request } = inHeaders()
    const original = `${credentials.accessKeyId}/${scope.join('/')}`
    const authorization = headers.authorization.replace(original, changed)
    const inHeader = verify({ ...request, headers: { ...headers, authorization } }, signedAtMs)
    assert.match(inHeader, /^AuthorizationHeaderMalformed: /)
    assert.match(inHeader, message)
  }
})

test.run()
