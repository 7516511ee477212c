import { createHash } from 'node:crypto'
import { DeleteObjectCommand } from '@aws-sdk/client-s3'
import { getSignedUrl } from '@aws-sdk/s3-request-presigner'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { openContractTarget } from '../support/contract-target.ts'
import { errorStatus, expectS3Error } from '../support/expect-s3-error.ts'
import { errorCode, send, signedRequest } from '../support/raw-http.ts'

const target = await openContractTarget()
const { client, bucket, prefix, endpoint } = target
const at = (name: string) => ({ Bucket: bucket, Key: `${prefix}${name}` })
const objectPath = (name: string) => `/${bucket}/${prefix}${name}`

/** Sends a signed request with these headers. */
function request(method: string, path: string, headers: Record<string, string>, body = '') {
  const sized = method === 'GET' || method === 'HEAD' ? {} : { 'content-length': String(body.length) }
  return send(endpoint, signedRequest(target, { method, path, body, headers: { ...sized, ...headers } }))
}

/** Asserts that a request with this header is 501 NotImplemented and that the error names the header. */
async function assertNotImplemented(method: string, path: string, header: string, value: string) {
  const response = await request(method, path, { [header]: value }, method === 'PUT' ? 'new' : '')
  const label = `${method} ${path} ${header}`
  assert.is(response.status, 501, label)
  if (method === 'HEAD') return
  assert.is(errorCode(response), 'NotImplemented', label)
  assert.match(response.body, new RegExp(`<Header>${header}</Header>`, 'i'), label)
}

const test = suite('S3 request headers')
test.before(() => client.putObject({ ...at('object'), Body: 'kept' }))
test.after(() => target.close())

test('conditions that only directory buckets have are not implemented, and nothing is deleted', async () => {
  await expectS3Error(client.deleteObject({ ...at('object'), IfMatchSize: 5 }), 'NotImplemented', 501)
  await expectS3Error(
    client.deleteObject({ ...at('object'), IfMatchLastModifiedTime: new Date(0) }),
    'NotImplemented',
    501,
  )
  if (target.isLocal) {
    // Not tried on AWS, whose documentation says "only supported for directory buckets".
    for (const condition of [{ Size: 5 }, { LastModifiedTime: new Date(0) }]) {
      const { Deleted, Errors = [] } = await client.deleteObjects({
        Bucket: bucket,
        Delete: { Objects: [{ Key: at('object').Key, ...condition }] },
      })
      assert.equal(
        [Deleted, Errors[0]?.Code, Errors[0]?.Key],
        [undefined, 'NotImplemented', at('object').Key],
      )
    }
  }
  assert.is((await client.headObject(at('object'))).ContentLength, 4)
})

test('DeleteObjects rejects an element that its schema does not have', async () => {
  const body = `<Delete><Object><Key>${at('object').Key}</Key><Unknown>1</Unknown></Object></Delete>`
  const headers = { 'x-amz-checksum-sha256': createHash('sha256').update(body).digest('base64') }
  const response = await request('POST', `/${bucket}?delete=`, headers, body)
  assert.equal([response.status, errorCode(response)], [400, 'MalformedXML'])
  assert.is((await client.headObject(at('object'))).ContentLength, 4)
})

test('headers of directory buckets are not implemented, and nothing is written', async () => {
  await assertNotImplemented('PUT', objectPath('offset'), 'x-amz-write-offset-bytes', '0')
  await assertNotImplemented('PUT', objectPath('rename'), 'x-amz-rename-source', `/${prefix}object`)
  await expectS3Error(client.headObject(at('offset')), 'NotFound', 404)
  await expectS3Error(client.headObject(at('rename')), 'NotFound', 404)
})

test('a write accepts If-Match with an entity tag only', async () => {
  for (const value of ['*', '"*"']) await assertNotImplemented('PUT', objectPath('object'), 'if-match', value)
  const text = await (await client.getObject(at('object'))).Body?.transformToString()
  assert.is(text, 'kept')
})

test('If-Match: * deletes an object that exists', async () => {
  await client.putObject({ ...at('exists'), Body: 'x' })
  assert.is((await client.deleteObject({ ...at('exists'), IfMatch: '*' })).$metadata.httpStatusCode, 204)
  await expectS3Error(client.deleteObject({ ...at('exists'), IfMatch: '*' }), 'NoSuchKey', 404)
})

test('an expected bucket owner of another account is denied', async () => {
  const owner = { ExpectedBucketOwner: '111111111111' }
  await expectS3Error(client.putObject({ ...at('object'), Body: 'x', ...owner }), 'AccessDenied', 403)
  await expectS3Error(client.getObject({ ...at('object'), ...owner }), 'AccessDenied', 403)
  await expectS3Error(client.listObjectsV2({ Bucket: bucket, ...owner }), 'AccessDenied', 403)
  assert.is(await errorStatus(client.headBucket({ Bucket: bucket, ...owner })), 403)
  await expectS3Error(
    client.getObject({ ...at('object'), ExpectedBucketOwner: 'me' }),
    'InvalidBucketOwnerAWSAccountID',
    400,
  )
  if (target.isLocal) await client.getObject({ ...at('object'), ExpectedBucketOwner: '000000000000' })
})

test('an encryption header on a read or on a part is an invalid argument', async () => {
  const header = { 'x-amz-server-side-encryption': 'AES256' }
  const { UploadId = '' } = await client.createMultipartUpload(at('encrypted'))
  const part = `${objectPath('encrypted')}?partNumber=1&uploadId=${UploadId}`
  for (const response of [
    await request('GET', objectPath('object'), header),
    await request('PUT', part, header, 'part'),
  ]) {
    assert.equal([response.status, errorCode(response)], [400, 'InvalidArgument'])
  }
  await client.abortMultipartUpload({ ...at('encrypted'), UploadId })
  const put = await client.putObject({ ...at('encrypted'), Body: 'x', ServerSideEncryption: 'AES256' })
  assert.is(put.$metadata.httpStatusCode, 200)
})

test('ACLs are rejected, because buckets enforce their owner', async () => {
  const put = { ...at('acl'), Body: 'x' }
  for (const acl of [
    { ACL: 'public-read' as const },
    { ACL: 'private' as const },
    { GrantRead: 'uri="http://acs.amazonaws.com/groups/global/AllUsers"' },
  ]) {
    await expectS3Error(client.putObject({ ...put, ...acl }), 'AccessControlListNotSupported', 400)
    await expectS3Error(
      client.createMultipartUpload({ ...at('acl'), ...acl }),
      'AccessControlListNotSupported',
      400,
    )
    await expectS3Error(
      client.copyObject({ ...at('acl'), CopySource: `${bucket}/${prefix}object`, ...acl }),
      'AccessControlListNotSupported',
      400,
    )
  }
  await client.putObject({ ...put, ACL: 'bucket-owner-full-control' })
  const later = client.putObjectAcl({ ...at('acl'), ACL: 'public-read' })
  await expectS3Error(later, 'AccessControlListNotSupported', 400)
})

if (target.isLocal) {
  const write = ['PUT', objectPath('refused')] as const
  const copyHeaders = ['x-amz-copy-source-range', 'x-amz-copy-source-if-match', 'x-amz-metadata-directive']
  const cases: (readonly [method: string, path: string, header: string, value?: string])[] = [
    [...write, 'x-amz-server-side-encryption', 'aws:kms'],
    [...write, 'x-amz-server-side-encryption-aws-kms-key-id'],
    [...write, 'x-amz-server-side-encryption-customer-algorithm', 'AES256'],
    [...write, 'x-amz-server-side-encryption-bucket-key-enabled', 'true'],
    [...write, 'x-amz-object-lock-mode', 'GOVERNANCE'],
    [...write, 'x-amz-object-lock-legal-hold', 'ON'],
    [...write, 'x-amz-website-redirect-location', '/elsewhere'],
    [...write, 'x-amz-mp-object-size', '3'],
    [...write, 'x-amz-something-new'],
    ...copyHeaders.map((header) => [...write, header] as const),
    [...write, 'content-range', 'bytes 0-2/3'],
    [...write, 'if-modified-since', new Date(0).toUTCString()],
    ['GET', objectPath('object'), 'x-amz-copy-source', `/${bucket}/x`],
    ['GET', objectPath('object'), 'x-amz-tagging', 'a=b'],
    ['GET', objectPath('object'), 'x-amz-server-side-encryption-customer-key'],
    ['HEAD', objectPath('object'), 'x-amz-object-attributes', 'ETag'],
    ['DELETE', objectPath('object'), 'x-amz-bypass-governance-retention', 'true'],
    ['DELETE', objectPath('object'), 'x-amz-mfa', '1 1'],
    ['DELETE', objectPath('object'), 'if-none-match', '*'],
    ['DELETE', objectPath('object'), 'if-unmodified-since', new Date(0).toUTCString()],
    ['POST', `${objectPath('refused')}?uploads=`, 'if-none-match', '*'],
    ['POST', `/${bucket}?delete=`, 'x-amz-bypass-governance-retention', 'true'],
    ['POST', `/${bucket}?delete=`, 'if-match', '*'],
    ['GET', `/${bucket}?list-type=2`, 'if-none-match', '"a"'],
    ['GET', `/${bucket}?list-type=2`, 'x-amz-request-payer', 'someone'],
    ['PUT', '/refused-bucket', 'x-amz-bucket-object-lock-enabled', 'true'],
    ['PUT', '/refused-bucket', 'x-amz-object-ownership', 'ObjectWriter'],
    ['DELETE', `/${bucket}`, 'if-match', '*'],
  ]
  for (const [method, path, header, value = 'x'] of cases) {
    const shown = path.replace(prefix, '')
    test(`${method} ${shown} with ${header}: ${value} is not implemented`, async () => {
      await assertNotImplemented(method, path, header, value)
    })
  }

  test('a refused header leaves everything as it was', async () => {
    assert.is((await client.headObject(at('object'))).ContentLength, 4)
    await expectS3Error(client.headObject(at('refused')), 'NotFound', 404)
    assert.is(await errorStatus(client.headBucket({ Bucket: 'refused-bucket' })), 404)
  })

  test('parameters of a presigned URL count as headers', async () => {
    const command = new DeleteObjectCommand({ ...at('object'), IfMatchSize: 5 })
    const url = new URL(await getSignedUrl(target.plainClient, command))
    const response = await send(endpoint, { method: 'DELETE', path: url.pathname + url.search })
    assert.equal([response.status, errorCode(response)], [501, 'NotImplemented'])
  })
}

test('headers without a meaning of their own are accepted by each kind of operation', async () => {
  const harmless = {
    'x-amz-user-agent': 'aws-sdk-js/3',
    'x-amz-sdk-anything': '1',
    'x-amz-meta-note': '1',
    'x-amzn-trace-id': 'Root=1',
    'x-amz-checksum-mode': 'ENABLED',
    'x-amz-request-payer': 'requester',
  }
  const statuses = [
    await request('GET', objectPath('object'), harmless),
    await request('HEAD', objectPath('object'), harmless),
    await request('PUT', objectPath('harmless'), harmless, 'x'),
    await request('DELETE', objectPath('harmless'), harmless),
    await request('GET', `/${bucket}?list-type=2&max-keys=1`, harmless),
    await request('GET', `/${bucket}?uploads=`, harmless),
    await request('POST', `${objectPath('harmless')}?uploads=`, harmless),
  ].map(({ status }) => status)
  assert.equal(statuses, [200, 200, 200, 204, 200, 200, 200])
})

test.run()
