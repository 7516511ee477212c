import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { openContractTarget } from '../support/contract-target.ts'
import { expectS3Error } from '../support/expect-s3-error.ts'

const target = await openContractTarget()
const { client, bucket, prefix } = target
const at = (name: string) => ({ Bucket: bucket, Key: `${prefix}${name}` })
const text = async (name: string) => (await client.getObject(at(name))).Body?.transformToString()

/** Waits for concurrent writers. Returns the bodies of the successful ones and the error codes of the others. */
async function race(writers: Map<string, Promise<unknown>>) {
  const winners: string[] = []
  const codes: string[] = []
  await Promise.all(
    [...writers].map(([body, writing]) =>
      writing.then(
        () => winners.push(body),
        (error: Error) => codes.push(error.name),
      ),
    ),
  )
  return { winners, codes }
}

const bodies = Array.from({ length: 12 }, (_, index) => `writer ${index} `.repeat(5000))

const test = suite('S3 conditional writes')
test.after(() => target.close())

test('If-None-Match: * creates an object and never replaces one', async () => {
  await client.putObject({ ...at('once'), Body: 'first', IfNoneMatch: '*' })
  const again = client.putObject({ ...at('once'), Body: 'second', IfNoneMatch: '*' })
  await expectS3Error(again, 'PreconditionFailed', 412)
  assert.is(await text('once'), 'first')
  await client.deleteObject(at('once'))
  await client.putObject({ ...at('once'), Body: 'third', IfNoneMatch: '*' })
  assert.is(await text('once'), 'third')
})

test('If-Match replaces only the object with this etag', async () => {
  const { ETag } = await client.putObject({ ...at('match'), Body: 'one' })
  const { ETag: second } = await client.putObject({ ...at('match'), Body: 'two', IfMatch: ETag })
  await expectS3Error(
    client.putObject({ ...at('match'), Body: 'three', IfMatch: ETag }),
    'PreconditionFailed',
    412,
  )
  assert.is(await text('match'), 'two')
  await expectS3Error(client.putObject({ ...at('match-none'), Body: 'x', IfMatch: second }), 'NoSuchKey', 404)
})

test('If-None-Match with an etag is not implemented, as on AWS', async () => {
  await expectS3Error(
    client.putObject({ ...at('form'), Body: 'x', IfNoneMatch: '"etag"' }),
    'NotImplemented',
    501,
  )
})

test('exactly one of many concurrent creations succeeds', async () => {
  const writers = new Map(
    bodies.map((Body) => [Body, client.putObject({ ...at('race'), Body, IfNoneMatch: '*' })] as const),
  )
  const { winners, codes } = await race(writers)
  assert.is(winners.length, 1)
  assert.ok(
    codes.every((code) => ['PreconditionFailed', 'ConditionalRequestConflict'].includes(code)),
    codes.join(),
  )
  assert.is(await text('race'), winners[0])
})

test('exactly one of many concurrent If-Match writes succeeds', async () => {
  const { ETag } = await client.putObject({ ...at('swap'), Body: 'start' })
  const writers = new Map(
    bodies.map((Body) => [Body, client.putObject({ ...at('swap'), Body, IfMatch: ETag })] as const),
  )
  const { winners, codes } = await race(writers)
  assert.is(winners.length, 1)
  assert.is(codes.length, bodies.length - 1)
  assert.is(await text('swap'), winners[0])
})

test('concurrent unconditional writes leave the complete bytes of one of them', async () => {
  await Promise.all(bodies.map((Body) => client.putObject({ ...at('last'), Body })))
  assert.ok(bodies.includes((await text('last')) ?? ''))
})

test('one of several concurrent completions succeeds, and the other uploads can be aborted', async () => {
  const uploads = await Promise.all(
    bodies.slice(0, 4).map(async (Body) => {
      const { UploadId = '' } = await client.createMultipartUpload(at('multi'))
      const { ETag } = await client.uploadPart({ ...at('multi'), UploadId, PartNumber: 1, Body })
      return { Body, UploadId, Parts: [{ PartNumber: 1, ETag }] }
    }),
  )
  const writers = new Map(
    uploads.map(({ Body, UploadId, Parts }) => [
      Body,
      client.completeMultipartUpload({
        ...at('multi'),
        UploadId,
        MultipartUpload: { Parts },
        IfNoneMatch: '*',
      }),
    ]),
  )
  const { winners, codes } = await race(writers)
  assert.is(winners.length, 1)
  assert.is(codes.length, 3)
  assert.is(await text('multi'), winners[0])
  for (const { Body, UploadId } of uploads) {
    if (Body !== winners[0]) await client.abortMultipartUpload({ ...at('multi'), UploadId })
  }
})

test('If-Match deletes only the object with this etag', async () => {
  const { ETag } = await client.putObject({ ...at('delete'), Body: 'one' })
  await client.putObject({ ...at('delete'), Body: 'two' })
  await expectS3Error(client.deleteObject({ ...at('delete'), IfMatch: ETag }), 'PreconditionFailed', 412)
  assert.is(await text('delete'), 'two')
})

test.run()
