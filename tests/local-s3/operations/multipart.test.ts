import { createHash } from 'node:crypto'
import { UploadPartCommand } from '@aws-sdk/client-s3'
import { getSignedUrl } from '@aws-sdk/s3-request-presigner'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { openContractTarget } from '../support/contract-target.ts'
import { expectS3Error } from '../support/expect-s3-error.ts'
import { send } from '../support/raw-http.ts'

const target = await openContractTarget()
const { client, plainClient, bucket, prefix, endpoint } = target
const mebibyte = 1024 * 1024
const at = (name: string) => ({ Bucket: bucket, Key: `${prefix}${name}` })

/** Starts an upload and returns its bucket, key and id. */
async function start(
  name: string,
  options: Parameters<typeof client.createMultipartUpload>[0] | object = {},
) {
  const { UploadId = '' } = await client.createMultipartUpload({ ...at(name), ...options })
  return { ...at(name), UploadId }
}

type Upload = Awaited<ReturnType<typeof start>>

async function part(upload: Upload, PartNumber: number, Body: Buffer) {
  const { ETag } = await plainClient.uploadPart({ ...upload, PartNumber, Body })
  return { PartNumber, ETag }
}

const complete = (upload: Upload, Parts: object[], options: object = {}) =>
  client.completeMultipartUpload({ ...upload, MultipartUpload: { Parts }, ...options })

const test = suite('S3 multipart uploads')
test.after(() => target.close())

test('CompleteMultipartUpload joins the parts and computes the multipart etag', async () => {
  const upload = await start('two', { ContentType: 'video/mp4', Metadata: { k: 'v' } })
  const bodies = [Buffer.alloc(5 * mebibyte, 1), Buffer.from('tail')]
  const parts = await Promise.all(bodies.map((body, index) => part(upload, index + 1, body)))
  const done = await complete(upload, parts)
  const md5s = bodies.map((body) => createHash('md5').update(body).digest())
  assert.is(done.ETag, `"${createHash('md5').update(Buffer.concat(md5s)).digest('hex')}-2"`)
  assert.equal([done.Bucket, done.Key], [bucket, `${prefix}two`])
  const head = await client.headObject(at('two'))
  assert.equal(
    [head.ContentLength, head.ContentType, head.Metadata, head.ETag],
    [5 * mebibyte + 4, 'video/mp4', { k: 'v' }, done.ETag],
  )
  const seam = await client.getObject({
    ...at('two'),
    Range: `bytes=${5 * mebibyte - 2}-${5 * mebibyte + 1}`,
  })
  assert.equal([...((await seam.Body?.transformToByteArray()) ?? [])], [1, 1, 116, 97])
})

test('a multipart object does not exist before its upload is completed', async () => {
  const upload = await start('pending')
  await part(upload, 1, Buffer.from('x'))
  await expectS3Error(client.headObject(at('pending')), 'NotFound', 404)
  await client.abortMultipartUpload(upload)
})

test('a part uploaded again replaces the first one, and unlisted parts are dropped', async () => {
  const upload = await start('again')
  const first = await part(upload, 1, Buffer.from('old'))
  await part(upload, 2, Buffer.from('left out'))
  const second = await part(upload, 1, Buffer.from('new'))
  await expectS3Error(complete(upload, [first]), 'InvalidPart', 400)
  await complete(upload, [second])
  assert.is(await (await client.getObject(at('again'))).Body?.transformToString(), 'new')
})

test('part numbers may have gaps', async () => {
  const upload = await start('gaps')
  const parts = [
    await part(upload, 7, Buffer.alloc(5 * mebibyte)),
    await part(upload, 10_000, Buffer.from('z')),
  ]
  assert.match((await complete(upload, parts)).ETag ?? '', /-2"$/)
})

test('each part except for the last must have at least 5 MiB', async () => {
  const upload = await start('small')
  const parts = [
    await part(upload, 1, Buffer.alloc(5 * mebibyte - 1)),
    await part(upload, 2, Buffer.from('x')),
  ]
  await expectS3Error(complete(upload, parts), 'EntityTooSmall', 400)
  const { Parts = [] } = await client.listParts(upload)
  assert.is(Parts.length, 2)
  await client.abortMultipartUpload(upload)
})

test('CompleteMultipartUpload checks order, numbers and etags of the parts', async () => {
  const upload = await start('order')
  const one = await part(upload, 1, Buffer.alloc(5 * mebibyte))
  const two = await part(upload, 2, Buffer.from('x'))
  await expectS3Error(complete(upload, [two, one]), 'InvalidPartOrder', 400)
  await expectS3Error(complete(upload, [one, one]), 'InvalidPartOrder', 400)
  await expectS3Error(complete(upload, [one, { PartNumber: 3, ETag: two.ETag }]), 'InvalidPart', 400)
  await expectS3Error(complete(upload, [{ PartNumber: 1, ETag: two.ETag }]), 'InvalidPart', 400)
  await expectS3Error(complete(upload, []), 'MalformedXML', 400)
  await complete(upload, [one, two])
})

test('an unknown or completed upload, or one of another key, returns NoSuchUpload', async () => {
  const upload = await start('ended')
  const parts = [await part(upload, 1, Buffer.from('x'))]
  const otherKey = { ...upload, Key: `${prefix}other` }
  await expectS3Error(client.uploadPart({ ...otherKey, PartNumber: 1, Body: 'x' }), 'NoSuchUpload', 404)
  await complete(upload, parts)
  await expectS3Error(client.uploadPart({ ...upload, PartNumber: 2, Body: 'x' }), 'NoSuchUpload', 404)
  await expectS3Error(client.listParts(upload), 'NoSuchUpload', 404)
  await expectS3Error(client.abortMultipartUpload({ ...upload, UploadId: 'nonsense' }), 'NoSuchUpload', 404)
})

test('an aborted upload cannot be completed', async () => {
  const upload = await start('aborted')
  const parts = [await part(upload, 1, Buffer.from('x'))]
  assert.is((await client.abortMultipartUpload(upload)).$metadata.httpStatusCode, 204)
  await expectS3Error(complete(upload, parts), 'NoSuchUpload', 404)
  await expectS3Error(client.headObject(at('aborted')), 'NotFound', 404)
})

test('part numbers below 1 or above 10000 are rejected', async () => {
  const upload = await start('numbers')
  for (const PartNumber of [0, 10_001]) {
    await expectS3Error(client.uploadPart({ ...upload, PartNumber, Body: 'x' }), 'InvalidArgument', 400)
  }
  await client.abortMultipartUpload(upload)
})

test('ListParts returns uploaded parts in pages', async () => {
  const upload = await start('listed')
  for (const number of [3, 1, 2]) await part(upload, number, Buffer.from(`part ${number}`))
  const first = await client.listParts({ ...upload, MaxParts: 2 })
  assert.equal(
    first.Parts?.map(({ PartNumber }) => PartNumber),
    [1, 2],
  )
  assert.equal([first.IsTruncated, first.NextPartNumberMarker], [true, '2'])
  const second = await client.listParts({
    ...upload,
    MaxParts: 2,
    PartNumberMarker: first.NextPartNumberMarker,
  })
  assert.equal(
    second.Parts?.map(({ PartNumber, Size }) => [PartNumber, Size]),
    [[3, 6]],
  )
  assert.is(second.IsTruncated, false)
  assert.is(second.Parts?.[0]?.ETag, `"${createHash('md5').update('part 3').digest('hex')}"`)
  await client.abortMultipartUpload(upload)
})

test('ListMultipartUploads returns open uploads in pages, ordered by key', async () => {
  const uploads = [await start('open/b'), await start('open/a'), await start('open/a')]
  const Prefix = `${prefix}open/`
  const all = await client.listMultipartUploads({ Bucket: bucket, Prefix })
  assert.equal(
    all.Uploads?.map(({ Key }) => Key),
    ['a', 'a', 'b'].map((name) => `${Prefix}${name}`),
  )
  const seen: (string | undefined)[] = []
  let markers: { KeyMarker?: string | undefined; UploadIdMarker?: string | undefined } = {}
  for (let page = 0; page < 3; page++) {
    const response = await client.listMultipartUploads({ Bucket: bucket, Prefix, MaxUploads: 1, ...markers })
    seen.push(...(response.Uploads ?? []).map(({ UploadId }) => UploadId))
    assert.is(response.IsTruncated, page < 2)
    markers = { KeyMarker: response.NextKeyMarker, UploadIdMarker: response.NextUploadIdMarker }
  }
  assert.equal(seen.sort(), uploads.map(({ UploadId }) => UploadId).sort())
  for (const upload of uploads) await client.abortMultipartUpload(upload)
  assert.is((await client.listMultipartUploads({ Bucket: bucket, Prefix })).Uploads, undefined)
})

test('a presigned URL accepts a part, and only of its number', async () => {
  const upload = await start('presigned')
  const url = new URL(await getSignedUrl(plainClient, new UploadPartCommand({ ...upload, PartNumber: 1 })))
  const path = url.pathname + url.search
  const response = await send(endpoint, {
    method: 'PUT',
    path,
    headers: { 'content-length': '4' },
    body: 'part',
  })
  assert.is(response.status, 200)
  await complete(upload, [{ PartNumber: 1, ETag: response.headers.etag }])
  const moved = await send(endpoint, {
    method: 'PUT',
    path: path.replace('partNumber=1', 'partNumber=2'),
    headers: { 'content-length': '4' },
    body: 'part',
  })
  assert.is(moved.status, 403)
})

for (const [algorithm, type] of [
  ['CRC32', 'COMPOSITE'],
  ['SHA256', 'COMPOSITE'],
  ['CRC32', 'FULL_OBJECT'],
  ['CRC32C', 'FULL_OBJECT'],
  ['CRC64NVME', 'FULL_OBJECT'],
] as const) {
  test(`the ${type} ${algorithm} of an object is computed from those of its parts`, async () => {
    const name = `${algorithm}-${type}`
    const upload = await start(name, { ChecksumAlgorithm: algorithm, ChecksumType: type })
    const bodies = [Buffer.alloc(5 * mebibyte, 'a'), Buffer.from('the end')]
    const field = `Checksum${algorithm}` as const
    const parts = await Promise.all(
      bodies.map(async (Body, index) => {
        const sent = await client.uploadPart({
          ...upload,
          PartNumber: index + 1,
          Body,
          ChecksumAlgorithm: algorithm,
        })
        return { PartNumber: index + 1, ETag: sent.ETag, [field]: sent[field] }
      }),
    )
    const wrong = parts.map((sent) => ({ ...sent, [field]: parts[0]?.[field] }))
    await expectS3Error(complete(upload, wrong), 'InvalidPart', 400)
    const done = await complete(upload, parts)
    assert.is(done.ChecksumType, type)
    const head = await client.headObject({ ...at(name), ChecksumMode: 'ENABLED' })
    assert.is(head[field], done[field])
    if (type === 'COMPOSITE') assert.match(done[field] ?? '', /-2$/)
    else {
      const whole = { ...at(`${name}-whole`), Body: Buffer.concat(bodies), ChecksumAlgorithm: algorithm }
      assert.is(done[field], (await client.putObject(whole))[field])
    }
  })
}

test('an upload with a checksum algorithm rejects parts of another and a completion without checksums', async () => {
  const upload = await start('strict', { ChecksumAlgorithm: 'SHA256' })
  const wrongAlgorithm = client.uploadPart({
    ...upload,
    PartNumber: 1,
    Body: 'x',
    ChecksumAlgorithm: 'CRC32',
  })
  await expectS3Error(wrongAlgorithm, 'InvalidRequest', 400)
  const { ETag } = await client.uploadPart({
    ...upload,
    PartNumber: 1,
    Body: 'x',
    ChecksumAlgorithm: 'SHA256',
  })
  await expectS3Error(complete(upload, [{ PartNumber: 1, ETag }]), 'InvalidRequest', 400)
  await client.abortMultipartUpload(upload)
})

test('UploadPartCopy copies a range of an object and rejects a range beyond its end', async () => {
  await client.putObject({ ...at('part-source'), Body: '0123456789' })
  const upload = await start('part-copy')
  const CopySource = `${bucket}/${prefix}part-source`
  const beyond = client.uploadPartCopy({
    ...upload,
    PartNumber: 1,
    CopySource,
    CopySourceRange: 'bytes=5-99',
  })
  await expectS3Error(beyond, 'InvalidArgument', 400)
  const copied = await client.uploadPartCopy({
    ...upload,
    PartNumber: 1,
    CopySource,
    CopySourceRange: 'bytes=2-4',
  })
  await complete(upload, [{ PartNumber: 1, ETag: copied.CopyPartResult?.ETag }])
  assert.is(await (await client.getObject(at('part-copy'))).Body?.transformToString(), '234')
})

test.run()
