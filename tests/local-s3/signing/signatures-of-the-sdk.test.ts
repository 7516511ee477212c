import { createHash } from 'node:crypto'
import {
  CopyObjectCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
  UploadPartCommand,
} from '@aws-sdk/client-s3'
import { getSignedUrl } from '@aws-sdk/s3-request-presigner'
import { S3Error } from '@millrace/local-s3/protocol/s3-error.ts'
import { createSignatureV4 } from '@millrace/local-s3/signing/signature-v4.ts'
import fc from 'fast-check'
import * as assert from 'uvu/assert'
import { checkProperty } from '../../support/check-property.ts'
import { suite } from '../../support/suite.ts'
import { exchangeOf, type SentRequest } from '../support/exchange-of.ts'
import { createSigner } from '../support/raw-http.ts'

const test = suite("the SDK's own S3 signatures")
const region = 'eu-central-1'
const credentials = { accessKeyId: 'AKIDLOCAL', secretAccessKey: 'secret/key+' }
const endpoint = 'http://127.0.0.1:9000'
const Bucket = 'bucket'
const signatureV4 = createSignatureV4({ region, credentials })
/** What the SDK gives to the client of HTTP. */
type SdkRequest = {
  method: string
  path: string
  query?: Record<string, string | string[] | null | undefined>
  headers: Record<string, string>
}
/** The request that the SDK sent last. */
let sent: SentRequest | undefined

const s3 = new S3Client({
  region,
  credentials,
  endpoint,
  forcePathStyle: true,
  maxAttempts: 1,
  requestHandler: {
    async handle({ method, path, query, headers }: SdkRequest) {
      sent = { method, path: `${path}${queryText(query)}`, headers }
      throw new Error('not sent')
    },
  },
})

test.after(() => s3.destroy())

const encode = (text: string) =>
  encodeURIComponent(text).replace(/[!'()*]/g, (character) => `%${character.charCodeAt(0).toString(16)}`)

/** Encodes a query as it is sent. */
function queryText(query: SdkRequest['query'] = {}): string {
  const pairs = Object.entries(query).flatMap(([name, values]) =>
    [values ?? ''].flat().map((value) => `${encode(name)}=${encode(value)}`),
  )
  return pairs.length === 0 ? '' : `?${pairs.join('&')}`
}

/** Returns the error code of a refused request, `accepted` otherwise. */
function verify(request: SentRequest): string {
  try {
    signatureV4.verify(exchangeOf(request), Date.now())
    return 'accepted'
  } catch (error) {
    if (error instanceof S3Error) return error.code
    throw error
  }
}

const name = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 12 })
/** Keys with all that is encoded, with slashes at any place. */
const key = fc
  .array(fc.oneof(name, fc.constantFrom('/', "!'()*", ' ', '+', '%2F', 'ü', '~', '.', '&=?#')), {
    minLength: 1,
    maxLength: 6,
  })
  .map((parts) => parts.join(''))
const headerText = fc.stringMatching(/^[!-~]([ -~]{0,20}[!-~])?$/)
const metadata = fc.dictionary(fc.stringMatching(/^[a-z][a-z0-9-]{0,8}$/), headerText, { maxKeys: 3 })

const command = fc
  .oneof(
    key.map((Key) => new GetObjectCommand({ Bucket, Key })),
    fc
      .tuple(key, name)
      .map(
        ([Key, text]) => new GetObjectCommand({ Bucket, Key, VersionId: text, ResponseContentType: text }),
      ),
    key.map((Key) => new DeleteObjectCommand({ Bucket, Key })),
    fc
      .tuple(key, metadata, headerText)
      .map(
        ([Key, Metadata, ContentType]) =>
          new PutObjectCommand({ Bucket, Key, Metadata, ContentType, Body: 'x' }),
      ),
    fc
      .tuple(key, name, fc.integer({ min: 1, max: 10_000 }))
      .map(
        ([Key, UploadId, PartNumber]) =>
          new UploadPartCommand({ Bucket, Key, UploadId, PartNumber, Body: 'x' }),
      ),
    fc
      .tuple(key, name, name)
      .map(
        ([Prefix, Delimiter, StartAfter]) =>
          new ListObjectsV2Command({ Bucket, Prefix, Delimiter, StartAfter }),
      ),
    key.map((Key) => new CopyObjectCommand({ Bucket, Key, CopySource: 'bucket/source' })),
  )
  // A failure prints the input instead of the SDK's whole command.
  .map((built) => Object.assign(built, { [fc.toStringMethod]: () => JSON.stringify(built.input) }))

type Command = typeof command extends fc.Arbitrary<infer T> ? T : never

/** Signs a command in its headers, as the SDK sends it. */
async function inHeaders(signed: Command): Promise<SentRequest> {
  sent = undefined
  // Each command has its own types of input and output, which `send` does not accept together.
  const sending: Promise<unknown> = Reflect.apply(s3.send, s3, [signed])
  await sending.catch(() => undefined)
  if (!sent) throw new Error('The SDK sent nothing.')
  return sent
}

/** Signs a command in its URL. Its client sends the headers that the URL names. */
async function inUrl(signed: Command): Promise<SentRequest> {
  const text: string = await Reflect.apply(getSignedUrl, undefined, [s3, signed, { expiresIn: 60 }])
  const url = new URL(text)
  const names = url.searchParams.get('X-Amz-SignedHeaders')?.split(';') ?? []
  const { method, headers } = await inHeaders(signed)
  const named = Object.fromEntries(names.map((header) => [header, headers[header] ?? '']))
  // URL normalizes paths with dots, so that of the text is sent.
  return { method, path: text.slice(url.origin.length), headers: named }
}

/** Returns the names of the headers that a signature covers, and of that which has it. */
function coveredHeaders({ headers }: SentRequest): string[] {
  const { authorization } = headers
  if (authorization === undefined) return Object.keys(headers)
  return [...(/SignedHeaders=([^,]+)/.exec(authorization)?.[1]?.split(';') ?? []), 'authorization']
}

/** Replaces one character of the method, the URL or a signed header by another. */
function changeOne(request: SentRequest, { pick, digit }: { pick: number; digit: string }): SentRequest {
  const names = coveredHeaders(request)
  const texts = [request.method, request.path, ...names.map((header) => request.headers[header] ?? '')]
  let position = pick % texts.join('').length
  const index = texts.findIndex((text) => {
    if (position < text.length) return true
    position -= text.length
    return false
  })
  const before = texts[index] ?? ''
  texts[index] = before.slice(0, position) + digit + before.slice(position + 1)
  const [method = '', path = '', ...values] = texts
  const changed = Object.fromEntries(names.map((header, at) => [header, values[at] ?? '']))
  return { method, path, headers: { ...request.headers, ...changed } }
}

const change = fc.record({ pick: fc.nat(), digit: fc.constantFrom(...'0a7Fz-') })

for (const [place, sign] of [
  ['headers', inHeaders],
  ['the URL', inUrl],
] as const) {
  test(`each request that the SDK signs in ${place} is accepted, and refused with one character changed`, () =>
    checkProperty(
      fc.asyncProperty(command, fc.array(change, { minLength: 8, maxLength: 8 }), async (signed, changes) => {
        const request = await sign(signed)
        assert.is(verify(request), 'accepted', request.path)
        for (const one of changes) {
          const changed = changeOne(request, one)
          // The same character, or another case of an escape.
          if (isSame(request, changed)) continue
          const code = verify(changed)
          assert.is.not(code, 'accepted', JSON.stringify({ request, changed }))
        }
      }),
      { runs: 40 },
    ))
}

/** Whether a server reads two requests alike. */
function isSame(a: SentRequest, b: SentRequest): boolean {
  const read = ({ path, ...rest }: SentRequest) => JSON.stringify({ ...rest, path: decoded(path) })
  return read(a) === read(b)
}

/** Decodes what can be decoded. A broken escape stays. */
function decoded(path: string): string {
  return path.replaceAll(/(%[0-9a-f]{2})+/gi, (escaped) => {
    try {
      return decodeURIComponent(escaped)
    } catch {
      return escaped
    }
  })
}

/**
 * Signs a PUT in its URL by hand, for what the SDK does not do.
 *
 * @param options.query as it is sent; it is sorted for the signature
 * @param options.signedHeaders in the order in which they are listed
 */
function signUrl(options: {
  query?: [name: string, value: string][]
  headers?: Record<string, string>
  signedHeaders?: string[]
}): SentRequest {
  const date = new Date().toISOString().replace(/[-:]|\.\d{3}/g, '')
  const { scope, sign } = createSigner({ endpoint, region, credentials }, date)
  const headers: Record<string, string> = { host: '127.0.0.1:9000', ...options.headers }
  const names = options.signedHeaders ?? Object.keys(headers).sort()
  const query: [string, string][] = [
    ...(options.query ?? []),
    ['X-Amz-SignedHeaders', names.join(';')],
    ['X-Amz-Algorithm', 'AWS4-HMAC-SHA256'],
    ['X-Amz-Credential', `${credentials.accessKeyId}/${scope}`],
    ['X-Amz-Date', date],
    ['X-Amz-Expires', '60'],
  ]
  const pairs = query.map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`)
  const payload = query.find(([name]) => name === 'X-Amz-Content-Sha256')?.[1] ?? 'UNSIGNED-PAYLOAD'
  const canonical = [
    'PUT',
    '/bucket/key',
    pairs.toSorted().join('&'),
    ...names.map((header) => `${header}:${headers[header] ?? ''}`),
    '',
    names.join(';'),
    payload,
  ].join('\n')
  const hash = createHash('sha256').update(canonical).digest('hex')
  const signature = sign(['AWS4-HMAC-SHA256', date, scope, hash].join('\n'))
  return { method: 'PUT', path: `/bucket/key?${pairs.join('&')}&X-Amz-Signature=${signature}`, headers }
}

test('a signed query may be sent in any order, and may have a name several times', () => {
  const query: [string, string][] = [
    ['uploadId', 'x'],
    ['a', '2'],
    ['partNumber', '1'],
    ['a', '1'],
    ['Z', ''],
  ]
  assert.is(verify(signUrl({ query })), 'accepted')
  assert.is(verify(signUrl({ query: query.toReversed() })), 'accepted')
})

test('a signed URL can bind the hash of the body that is sent with it', () => {
  const hash = createHash('sha256').update('body').digest('hex')
  const request = signUrl({ query: [['X-Amz-Content-Sha256', hash]] })
  assert.is(signatureV4.verify(exchangeOf(request), Date.now()).payload, hash)
})

test('a signature that leaves out the host, or lists headers in another order, is refused', () => {
  const headers = { 'content-type': 'a/b' }
  assert.is(verify(signUrl({ headers, signedHeaders: ['content-type', 'host'] })), 'accepted')
  assert.is(verify(signUrl({ headers, signedHeaders: ['content-type'] })), 'AccessDenied')
  const reordered = signUrl({ headers })
  const path = reordered.path.replace('content-type%3Bhost', 'host%3Bcontent-type')
  assert.is.not(path, reordered.path)
  assert.is(verify({ ...reordered, path }), 'SignatureDoesNotMatch')
})

test('a run of spaces in a signed header counts as one space, and its ends do not count', () => {
  const { headers, ...request } = signUrl({ headers: { 'x-amz-meta-title': 'a b c' } })
  for (const [title, expected] of [
    ['  a  b   c ', 'accepted'],
    ['a bc', 'SignatureDoesNotMatch'],
  ] as const) {
    assert.is(verify({ ...request, headers: { ...headers, 'x-amz-meta-title': title } }), expected, title)
  }
})

test('a header that was signed must be sent', () => {
  const { headers, ...request } = signUrl({ headers: { 'if-none-match': '*' } })
  assert.is(verify({ ...request, headers }), 'accepted')
  assert.is(verify({ ...request, headers: { host: headers['host'] ?? '' } }), 'SignatureDoesNotMatch')
})

test.run()
