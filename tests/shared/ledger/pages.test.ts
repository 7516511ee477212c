import { paginateMultipartUploads, paginateObjectVersions } from '@millrace/shared/ledger/pages.ts'
import * as assert from 'uvu/assert'
import { openContractTarget } from '../../local-s3/support/contract-target.ts'
import { suite } from '../../support/suite.ts'

const target = await openContractTarget()
const { client, bucket, prefix } = target
const test = suite('S3 pages')

test.before(() => {
  const pageSize = { MaxKeys: 2, MaxUploads: 2 }
  client.middlewareStack.add((next) => (args) => next({ ...args, input: { ...args.input, ...pageSize } }), {
    step: 'initialize',
  })
})
test.after(() => target.close())

test('all versions and delete markers are listed, however many pages they fill', async () => {
  await client.putBucketVersioning({ Bucket: bucket, VersioningConfiguration: { Status: 'Enabled' } })
  const expected: string[] = []
  for (const name of ['a', 'b']) {
    const Key = `${prefix}versions/${name}`
    for (const Body of ['1', '2']) {
      expected.push((await client.putObject({ Bucket: bucket, Key, Body })).VersionId ?? '')
    }
    expected.push((await client.deleteObject({ Bucket: bucket, Key })).VersionId ?? '')
  }
  const listed: (string | undefined)[] = []
  let pages = 0
  const listing = { Bucket: bucket, Prefix: `${prefix}versions/` }
  for await (const { Versions = [], DeleteMarkers = [] } of paginateObjectVersions({ client }, listing)) {
    pages += 1
    listed.push(...[...Versions, ...DeleteMarkers].map(({ VersionId }) => VersionId))
  }
  assert.equal(listed.sort(), expected.sort())
  assert.is(pages, 3)
})

test('all open multipart uploads are listed, however many pages they fill', async () => {
  const expected: string[] = []
  for (const name of ['a', 'a', 'a', 'b', 'c']) {
    const Key = `${prefix}open/${name}`
    expected.push((await client.createMultipartUpload({ Bucket: bucket, Key })).UploadId ?? '')
  }
  const listed: (string | undefined)[] = []
  let pages = 0
  const listing = { Bucket: bucket, Prefix: `${prefix}open/` }
  for await (const { Uploads = [] } of paginateMultipartUploads({ client }, listing)) {
    pages += 1
    listed.push(...Uploads.map(({ UploadId }) => UploadId))
  }
  assert.equal(listed.sort(), expected.sort())
  assert.is(pages, 3)
})

test.run()
