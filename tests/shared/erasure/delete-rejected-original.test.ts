import { createDeleteRejectedOriginal } from '@millrace/shared/erasure/delete-rejected-original.ts'
import { originalKey } from '@millrace/shared/ledger/object-keys.ts'
import { newUploadId } from '@millrace/shared/uploads/upload-id.ts'
import * as assert from 'uvu/assert'
import { openContractTarget } from '../../local-s3/support/contract-target.ts'
import { suite } from '../../support/suite.ts'

const target = await openContractTarget()
const { client, bucket } = target
const test = suite('delete rejected original')

test.after(() => target.close())

test('a rejected original is deleted with all older versions, also if they are on several pages', async () => {
  await client.putBucketVersioning({ Bucket: bucket, VersioningConfiguration: { Status: 'Enabled' } })
  const address = { owner: 's-tester', id: newUploadId() }
  const Key = originalKey(address)
  const versionIds: string[] = []
  for (const Body of ['1', '2', '3', '4']) {
    versionIds.push((await client.putObject({ Bucket: bucket, Key, Body })).VersionId ?? '')
  }
  const [, , third = '', fourth] = versionIds
  client.middlewareStack.add((next) => (args) => next({ ...args, input: { ...args.input, MaxKeys: 1 } }), {
    step: 'initialize',
    name: 'small-pages',
  })
  await createDeleteRejectedOriginal({ s3: client, bucket })(address, { etag: '', size: 1, versionId: third })
  client.middlewareStack.remove('small-pages')
  const { Versions = [] } = await client.listObjectVersions({ Bucket: bucket, Prefix: Key })
  assert.equal(
    Versions.map(({ VersionId }) => VersionId),
    [fourth],
  )
})

test.run()
