import { S3Client } from '@aws-sdk/client-s3'
import { createMultipartUploads } from '@millrace/api/announcing/multipart-uploads.ts'
import { createFormSigner } from '@millrace/api/signing/sign-form.ts'
import { createPutSigner } from '@millrace/api/signing/sign-put.ts'
import { createUrlSigner } from '@millrace/api/signing/sign-url.ts'
import { parseAmzDate } from '@millrace/local-s3/signing/signature-v4.ts'
import { planParts } from '@millrace/shared/parts/part-plan.ts'
import type { UploadIntent } from '@millrace/shared/uploads/upload.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('lives of signed requests')
const MiB = 1024 ** 2
const hourSeconds = 3_600
const bucket = 'bucket'
const address = { owner: 's-1', id: '0199aaaa-aaaa-7aaa-8aaa-aaaaaaaaaaaa' }
const sha256 = '00ff'.repeat(16)
const intent: UploadIntent = {
  filename: 'a.txt',
  contentType: ' text/plain;   charset=utf-8 ',
  size: 7,
  preset: 'default',
  declaredSha256: sha256,
}
const clients: S3Client[] = []

test.after(() => {
  for (const client of clients) client.destroy()
})

/** Creates all signers, with credentials that end at this time (ms since 1970). No server is needed. */
function createSigners(endsAtMs?: number) {
  const s3 = new S3Client({
    region: 'eu-central-1',
    endpoint: 'http://127.0.0.1:1',
    credentials: async () => ({
      accessKeyId: 'AKIDLOCAL',
      secretAccessKey: 'secret',
      ...(endsAtMs !== undefined && { expiration: new Date(endsAtMs) }),
    }),
  })
  clients.push(s3)
  const signer = createUrlSigner({ s3, bucket })
  return {
    signer,
    signForm: createFormSigner({ s3, bucket }),
    signPut: createPutSigner({ signer }),
    multipartUploads: createMultipartUploads({ s3, bucket, signer }),
  }
}

type Signers = ReturnType<typeof createSigners>

/** Returns the life of a signed URL in seconds, and its signed headers. */
function read(url = '') {
  const { searchParams } = new URL(url)
  return {
    life: Number(searchParams.get('X-Amz-Expires')),
    signedAtMs: parseAmzDate(searchParams.get('X-Amz-Date') ?? ''),
    signedHeaders: searchParams.get('X-Amz-SignedHeaders'),
  }
}

/** Signs the first, the second and the last part of a file of 20 MiB and 1 byte. */
async function signParts({ multipartUploads }: Signers) {
  const size = 20 * MiB + 1
  const multipart = { uploadId: 'u', ...planParts(size) }
  return multipartUploads.sign({ ...address, intent: { size } }, multipart, [1, 2, 3])
}

/** Reads the policy of a form. Its life is exact, because the SDK takes one time for both. */
async function readForm({ signForm }: Signers) {
  const { fields } = await signForm(address, intent)
  const policy: { expiration: string; conditions: unknown[] } = JSON.parse(
    Buffer.from(fields['Policy'] ?? '', 'base64').toString(),
  )
  const signedAtMs = parseAmzDate(fields['X-Amz-Date'] ?? '')
  const endMs = Date.parse(policy.expiration)
  return {
    fields,
    conditions: policy.conditions,
    signedAtMs,
    endMs,
    life: Math.floor((endMs - signedAtMs) / 1000),
  }
}

test('the URL of each part is valid for exactly an hour and binds the size of its part', async () => {
  const parts = await signParts(createSigners())
  assert.equal(
    parts.map(({ partNumber, url }) => [partNumber, read(url).life, read(url).signedHeaders]),
    [1, 2, 3].map((partNumber) => [partNumber, hourSeconds, 'content-length;host']),
  )
  // A signature shows the size that it binds: that of a URL which is signed for this size at the same time.
  const { signer } = createSigners()
  for (const [index, size] of [8 * MiB, 8 * MiB, 4 * MiB + 1].entries()) {
    const { partNumber = 0, url = '' } = parts[index] ?? {}
    const same = await signer.sign({
      method: 'PUT',
      key: `originals/${address.owner}/${address.id}`,
      query: { partNumber: String(partNumber), uploadId: 'u' },
      headers: { 'content-length': String(size) },
      expiresInSeconds: hourSeconds,
      signedAt: new Date(read(url).signedAtMs),
    })
    assert.is(url, same.url)
  }
})

test('a PUT is valid for exactly an hour, once, for the exact size, type and SHA-256', async () => {
  const { url, headers } = await createSigners().signPut(address, intent)
  const { life, signedHeaders } = read(url)
  assert.is(life, hourSeconds)
  assert.match(signedHeaders ?? '', /^content-length;content-type;host;if-none-match;x-amz-checksum-sha256;/)
  assert.equal(
    ['content-type', 'if-none-match', 'x-amz-checksum-sha256', 'content-length'].map((name) => headers[name]),
    ['text/plain; charset=utf-8', '*', Buffer.from(sha256, 'hex').toString('base64'), undefined],
  )
})

test('a form is valid for exactly an hour, for the exact size and SHA-256', async () => {
  const { fields, conditions, life } = await readForm(createSigners())
  assert.is(life, hourSeconds)
  const ranges = conditions.filter((entry) => Array.isArray(entry) && entry[0] === 'content-length-range')
  assert.equal(ranges, [['content-length-range', 7, 7]])
  const checksum = Buffer.from(sha256, 'hex').toString('base64')
  assert.is(fields['x-amz-checksum-sha256'], checksum)
  const hasChecksum = conditions.some((entry) => JSON.stringify(entry).includes(checksum))
  assert.ok(hasChecksum)
})

test('nothing that is signed outlives its credentials, less half a minute', async () => {
  const endsAtMs = Math.floor(Date.now() / 1000) * 1000 + 10 * 60_000
  const signers = createSigners(endsAtMs)
  const latestMs = endsAtMs - 30_000
  const { url: put } = await signers.signPut(address, intent)
  for (const url of [put, ...(await signParts(signers)).map(({ url }) => url)]) {
    const { life, signedAtMs } = read(url)
    const endMs = signedAtMs + life * 1000
    // The signature has whole seconds, and so has its life.
    assert.ok(endMs <= latestMs && endMs > latestMs - 2_000, `${latestMs - endMs} ms too early`)
  }
  const { endMs } = await readForm(signers)
  // The life of a form is determined some milliseconds before it is signed.
  assert.ok(endMs <= latestMs + 1_000 && endMs > latestMs - 2_000, `${latestMs - endMs} ms too early`)
})

test('a signed URL says the time at which it expires, also if its credentials end earlier', async () => {
  const endsAtMs = Math.floor(Date.now() / 1000) * 1000 + 10 * 60_000
  const signed = await createSigners(endsAtMs).signer.sign({
    method: 'GET',
    key: 'a',
    expiresInSeconds: 7_200,
  })
  const { life, signedAtMs } = read(signed.url)
  assert.is(signed.expiresAt.getTime(), signedAtMs + life * 1000)
})

test('the signing key of a day is not used for the next one', async () => {
  const { signer } = createSigners()
  const sign = (day: string, by: Signers['signer']) =>
    by.sign({ method: 'GET', key: 'a', expiresInSeconds: 60, signedAt: new Date(`${day}T00:00:00Z`) })
  await sign('2026-11-23', signer)
  assert.equal(await sign('2026-11-24', signer), await sign('2026-11-24', createSigners().signer))
})

test.run()
