import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CreateBucketCommand, GetObjectCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3'
import { createPresignedPost } from '@aws-sdk/s3-presigned-post'
import { getSignedUrl } from '@aws-sdk/s3-request-presigner'
import { createS3Server } from '@millrace/local-s3/s3-server.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('temporary credentials')
const [Bucket, Key, region] = ['bucket', 'object', 'us-east-1']
const owner = { accessKeyId: 'AKIAOWNER', secretAccessKey: 'owner-secret' }
const role = { accessKeyId: 'ASIAROLE', secretAccessKey: 'role-secret', sessionToken: 'role/token+=' }
const clients: S3Client[] = []
let endsAtMs = Number.POSITIVE_INFINITY
let directory: string
let server: Awaited<ReturnType<typeof createS3Server>>

test.before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'millrace-s3-'))
  server = await createS3Server({
    directory,
    region,
    credentials: owner,
    temporaryCredentials: (id) => (id === role.accessKeyId ? { ...role, endsAtMs } : undefined),
  })
  await clientOf(owner).send(new CreateBucketCommand({ Bucket }))
})

test.after(async () => {
  for (const client of clients) client.destroy()
  await server.close()
  await rm(directory, { recursive: true })
})

function clientOf(credentials: typeof owner & { sessionToken?: string }): S3Client {
  const client = new S3Client({
    endpoint: server.endpoint,
    region,
    credentials,
    forcePathStyle: true,
    requestChecksumCalculation: 'WHEN_REQUIRED',
  })
  clients.push(client)
  return client
}

/** Creates requests that these credentials sign: in a header, in a URL, and in a form. Each can be sent later. */
async function signInEachWay(credentials: typeof owner & { sessionToken?: string }) {
  const client = clientOf(credentials)
  const put = await getSignedUrl(client, new PutObjectCommand({ Bucket, Key }))
  const form = await createPresignedPost(client, { Bucket, Key })
  const body = new FormData()
  for (const [name, value] of Object.entries(form.fields)) body.append(name, value)
  body.append('file', new Blob(['7 bytes']))
  return [
    async () => {
      const error: unknown = await client.send(new GetObjectCommand({ Bucket, Key })).catch((error) => error)
      return error instanceof Error ? error.name : 'sent'
    },
    () => codeOf(fetch(put, { method: 'PUT', body: '7 bytes' })),
    () => codeOf(fetch(form.url, { method: 'POST', body })),
  ]
}

/** Returns status and code of a refusal, or `sent`. */
async function codeOf(sending: Promise<Response>): Promise<string> {
  const response = await sending
  const text = await response.text()
  return response.ok ? 'sent' : `${response.status} ${/<Code>(\w+)<\/Code>/.exec(text)?.[1]}`
}

test('S3 refuses what temporary credentials signed once they have ended, as AWS does', async () => {
  const [byHeader, byUrl, byForm] = await signInEachWay(role)
  assert.equal([await byUrl?.(), await byForm?.(), await byHeader?.()], ['sent', 'sent', 'sent'])
  endsAtMs = Date.now() - 1
  assert.equal(
    [await byHeader?.(), await byUrl?.(), await byForm?.()],
    ['ExpiredToken', '400 ExpiredToken', '400 ExpiredToken'],
  )
  const url = await getSignedUrl(clientOf(role), new GetObjectCommand({ Bucket, Key }))
  const text = await (await fetch(url)).text()
  assert.match(text, '<Message>The provided token has expired.</Message><Token-0>role/token+=</Token-0>')
  endsAtMs = Number.POSITIVE_INFINITY
})

test('S3 refuses credentials with a token that is not theirs, or without theirs', async () => {
  for (const [credentials, code] of [
    [{ ...role, sessionToken: 'other' }, '400 InvalidToken'],
    [{ ...owner, sessionToken: 'other' }, '400 InvalidToken'],
    [owner, 'sent'],
  ] as const) {
    const [byHeader, byUrl, byForm] = await signInEachWay(credentials)
    assert.equal(
      [await byUrl?.(), await byForm?.(), await byHeader?.()],
      [code, code, code.replace('400 ', '')],
    )
  }
  const { sessionToken: _, ...withoutToken } = role
  const [, byUrl, byForm] = await signInEachWay(withoutToken)
  assert.equal([await byUrl?.(), await byForm?.()], ['403 InvalidAccessKeyId', '403 InvalidAccessKeyId'])
})

test('S3 refuses temporary credentials whose secret is another', async () => {
  const [, byUrl, byForm] = await signInEachWay({ ...role, secretAccessKey: 'other' })
  assert.equal(
    [await byUrl?.(), await byForm?.()],
    ['403 SignatureDoesNotMatch', '403 SignatureDoesNotMatch'],
  )
})

test.run()
