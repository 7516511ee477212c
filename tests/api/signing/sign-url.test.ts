import { S3Client } from '@aws-sdk/client-s3'
import { S3RequestPresigner } from '@aws-sdk/s3-request-presigner'
import { createUrlSigner, type SignedUrl } from '@millrace/api/signing/sign-url.ts'
import * as assert from 'uvu/assert'
import { openContractTarget } from '../../local-s3/support/contract-target.ts'
import { suite } from '../../support/suite.ts'

const target = await openContractTarget()
const { client: s3, bucket } = target
const test = suite('URL signer')
const key = 'originals/s-1/0199aaaa-aaaa-7aaa-8aaa-aaaaaaaaaaaa'
const signer = createUrlSigner({ s3, bucket })

test.after(() => target.close())

type Signed = { query: Record<string, string>; headers: Record<string, string> }

for (const [name, method, { query, headers }] of [
  ['a part', 'PUT', { query: { partNumber: '7', uploadId: "a/b+c=d'e(f)!*~" }, headers: {} }],
  ['a part of a fixed size', 'PUT', { query: { uploadId: 'x' }, headers: { 'content-length': '8388608' } }],
  [
    'a file with metadata',
    'PUT',
    {
      query: {},
      headers: {
        'x-amz-meta-filename': '%C3%84rger.jpg',
        'if-none-match': '*',
        'content-type': 'image/jpeg; q="a b"',
        'content-length': '7',
      },
    },
  ],
  [
    'a download',
    'GET',
    { query: { 'response-content-disposition': `attachment; filename*=UTF-8''%C3%BC` }, headers: {} },
  ],
] satisfies [string, 'PUT' | 'GET', Signed][]) {
  test(`the signed URL of ${name} is equal to that of the SDK's signer`, async () => {
    const signedAt = new Date('2026-11-23T10:00:00Z')
    const signed = await signer.sign({ method, key, query, headers, expiresInSeconds: 60, signedAt })
    const ours = new URL(signed.url)
    assert.equal(signed.expiresAt, new Date('2026-11-23T10:01:00Z'))
    const names = new Set(Object.keys(headers))
    const theirs = await new S3RequestPresigner(s3.config).presign(
      {
        method,
        protocol: ours.protocol,
        hostname: ours.hostname,
        port: Number(ours.port),
        path: ours.pathname,
        query,
        headers,
      },
      { expiresIn: 60, signingDate: signedAt, signableHeaders: names, unhoistableHeaders: names },
    )
    assert.is(ours.pathname, theirs.path)
    assert.equal(Object.fromEntries(ours.searchParams), theirs.query)
  })
}

test('URLs of one batch are those that are signed one by one', async () => {
  const signedAt = new Date('2026-11-23T10:00:00Z')
  const common = { method: 'PUT', key, expiresInSeconds: 60, signedAt } as const
  const changes = [
    { query: { partNumber: '1' }, headers: { 'content-length': '8' } },
    { query: { partNumber: '2' }, headers: { 'content-length': '3' } },
    { query: { partNumber: '2' } },
    { key: `${key}0` },
    { expiresInSeconds: 61 },
    { method: 'GET' as const },
    { signedAt: new Date('2026-11-24T10:00:00Z') },
    { signedAt: new Date('2026-11-23T10:00:01Z') },
  ]
  // Each differs from the one before it in one thing only, because a batch keeps what two in a row have in common.
  const urls = changes.flatMap((change) => [common, { ...common, ...change }])
  const single: SignedUrl[] = []
  for (const url of urls) single.push(await createUrlSigner({ s3, bucket }).sign(url))
  assert.equal(await signer.signAll(urls), single)
  assert.is(new Set(single.map(({ url }) => url)).size, changes.length + 1)
})

test('a bucket whose URL could not be found, for want of credentials, is looked for again', async () => {
  let fails = true
  const late = new S3Client({
    ...{ region: 'eu-central-1', endpoint: 'http://127.0.0.1:1', forcePathStyle: true },
    credentials: async () => {
      if (fails) throw new Error('no credentials yet')
      return { accessKeyId: 'a', secretAccessKey: 'b' }
    },
  })
  const { origin } = createUrlSigner({ s3: late, bucket })
  const error = await origin().catch((thrown: unknown) => thrown)
  assert.match(String(error), 'no credentials yet')
  fails = false
  assert.is(await origin(), 'http://127.0.0.1:1')
  late.destroy()
})

test('S3 refuses a body that is larger or smaller than the signed content-length', async () => {
  const { url } = await signer.sign({
    method: 'PUT',
    key: `${key}-sized`,
    headers: { 'content-length': '7' },
    expiresInSeconds: 60,
  })
  for (const bytes of [6, 8, 0]) {
    const response = await fetch(url, { method: 'PUT', body: new Uint8Array(bytes) })
    assert.is(response.status, 403, `${bytes} bytes`)
    assert.match(await response.text(), '<Code>SignatureDoesNotMatch</Code>')
  }
  assert.is((await fetch(url, { method: 'PUT', body: new Uint8Array(7) })).status, 200)
})

test.run()
