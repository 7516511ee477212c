import { Readable } from 'node:stream'
import { S3Client } from '@aws-sdk/client-s3'
import { isOutage } from '@millrace/shared/connections/outage.ts'
import { newUploadId } from '@millrace/shared/uploads/upload-id.ts'
import { createOriginalReader } from '@millrace/worker/processing/read-original.ts'
import { createVariantWriter } from '@millrace/worker/processing/write-variant.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('reading originals and writing variants')
const address = { owner: 's-tester', id: newUploadId() }

/** A client of an S3 that exists in this process only. */
function scriptedS3(answer: (input: object) => object | Promise<object>): S3Client {
  const s3 = new S3Client({ region: 'us-east-1', credentials: { accessKeyId: 'a', secretAccessKey: 'b' } })
  s3.middlewareStack.add(
    () => async (args) => ({ response: {}, output: { $metadata: {}, ...(await answer({ ...args.input })) } }),
    { step: 'initialize' },
  )
  return s3
}

test('a variant is written when S3 has it and not before, with headers that let a CDN keep it for a year', async () => {
  const steps: string[] = []
  const stored = Promise.withResolvers<object>()
  let sent: object = {}
  const s3 = scriptedS3((input) => {
    sent = input
    steps.push('sent')
    return stored.promise
  })
  const { signal } = new AbortController()
  const recipe = { name: 'w1', fit: 'inside', width: 1, height: 1, format: 'jpeg', quality: 80 } as const
  const body = Buffer.from('a variant')
  const writing = createVariantWriter({ s3, bucket: 'b' })(
    address,
    'v',
    { recipe, body, width: 3, height: 2 },
    signal,
  ).then((variant) => {
    steps.push('written')
    return variant
  })
  // Until all microtasks have run.
  await new Promise((resolve) => setImmediate(resolve))
  assert.equal(steps, ['sent'])
  stored.resolve({})
  const variant = await writing
  assert.equal(steps, ['sent', 'written'])
  const { key, ...rest } = variant
  assert.equal(sent, {
    Bucket: 'b',
    Key: key,
    Body: body,
    ContentType: 'image/jpeg',
    CacheControl: 'max-age=31536000, immutable',
  })
  assert.match(key, new RegExp(`^variants/s-tester/${address.id}/v/w1[^/]*\\.jpg$`))
  assert.equal(
    { ...rest, sha256: rest.sha256?.length },
    { name: 'w1', contentType: 'image/jpeg', width: 3, height: 2, size: 9, sha256: 64 },
  )
  s3.destroy()
})

test('a response that has fewer or more bytes than it says is an outage, and no file', async () => {
  for (const [claimed, sent] of [
    [10, 9],
    [10, 11],
    [10, 10],
  ] as const) {
    const s3 = scriptedS3(() => ({ Body: Readable.from([Buffer.alloc(sent)]), ContentLength: claimed }))
    const { signal } = new AbortController()
    for (const way of ['readBytes', 'hash'] as const) {
      const opened = await createOriginalReader({ s3, bucket: 'b' })(address, { etag: 'e', signal })
      const result: unknown = await opened?.[way]().catch((error: unknown) => error)
      assert.is(isOutage(result), claimed !== sent, `${way} of ${sent} bytes`)
    }
    s3.destroy()
  }
})

test('an original is asked for by its etag and its version', async () => {
  const asked: object[] = []
  const s3 = scriptedS3((input) => {
    asked.push(input)
    return { Body: Readable.from([Buffer.alloc(1)]), ContentLength: 1 }
  })
  const { signal } = new AbortController()
  await createOriginalReader({ s3, bucket: 'b' })(address, { etag: 'e', versionId: 'v1', signal })
  assert.equal(asked, [
    {
      Bucket: 'b',
      Key: `originals/s-tester/${address.id}`,
      VersionId: 'v1',
      IfMatch: '"e"',
      Range: undefined,
    },
  ])
  s3.destroy()
})

test('an attempt that was aborted closes the response that S3 still sends, and writes no further variant', async () => {
  const aborting = new AbortController()
  const body = Readable.from([Buffer.alloc(1)])
  let requests = 0
  const s3 = scriptedS3(() => {
    requests += 1
    aborting.abort(new Error('draining'))
    return { Body: body, ContentLength: 1 }
  })
  const { signal } = aborting
  const opened = createOriginalReader({ s3, bucket: 'b' })(address, { etag: 'e', signal })
  assert.match(String(await opened.catch((error: unknown) => error)), /AbortError/)
  assert.is(body.destroyed, true)
  const recipe = { name: 'w1', format: 'jpeg' } as const
  const variant = { recipe, body: Buffer.from('v'), width: 1, height: 1 }
  const written = createVariantWriter({ s3, bucket: 'b' })(address, 'v', variant, signal)
  assert.match(String(await written.catch((error: unknown) => error)), /draining/)
  assert.is(requests, 1)
  s3.destroy()
})

test.run()
