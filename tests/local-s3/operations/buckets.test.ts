import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { openContractTarget } from '../support/contract-target.ts'
import { expectS3Error } from '../support/expect-s3-error.ts'
import { send, signedRequest } from '../support/raw-http.ts'

// What S3 tools (AWS CLI, rclone, s3cmd, Cyberduck) ask a bucket for before they list or copy.

const target = await openContractTarget()
const { client, bucket: Bucket, prefix, region, endpoint } = target

const test = suite('S3 buckets')
test.after(() => target.close())

test('GetBucketLocation returns the region, and nothing for us-east-1', async () => {
  const { LocationConstraint } = await client.getBucketLocation({ Bucket })
  assert.is(LocationConstraint ?? '', region === 'us-east-1' ? '' : region)
  const response = await send(
    endpoint,
    signedRequest(target, { method: 'GET', path: `/${Bucket}?location=` }),
  )
  assert.is(response.status, 200)
  assert.match(response.body, /<LocationConstraint xmlns="http:\/\/s3.amazonaws.com\/doc\/2006-03-01\/"/)
  if (target.isLocal) {
    await expectS3Error(client.getBucketLocation({ Bucket: 'no-such-bucket-here' }), 'NoSuchBucket', 404)
  }
})

test('ListBuckets returns buckets by prefix and in pages', async () => {
  const { Buckets = [], Prefix, Owner } = await client.listBuckets({ Prefix: Bucket })
  assert.ok(Buckets.some(({ Name }) => Name === Bucket))
  assert.ok(Owner?.ID)
  assert.is(Prefix, Bucket)
  if (!target.isLocal) return
  const CreateBucketConfiguration = { LocationConstraint: 'eu-central-1' as const }
  for (const name of ['page-a', 'page-b'])
    await client.createBucket({ Bucket: name, CreateBucketConfiguration })
  const first = await client.listBuckets({ Prefix: 'page-', MaxBuckets: 1 })
  assert.equal(
    first.Buckets?.map(({ Name }) => Name),
    ['page-a'],
  )
  const { ContinuationToken } = first
  assert.ok(ContinuationToken)
  const second = await client.listBuckets({ Prefix: 'page-', MaxBuckets: 1, ContinuationToken })
  assert.equal(
    second.Buckets?.map(({ Name }) => Name),
    ['page-b'],
  )
  assert.is(second.ContinuationToken, undefined)
  await expectS3Error(client.listBuckets({ MaxBuckets: 0 }), 'InvalidArgument', 400)
})

if (target.isLocal) {
  // On AWS the bucket of the tests may have any of these configurations.
  const missing = {
    NoSuchBucketPolicy: () => client.getBucketPolicy({ Bucket }),
    NoSuchTagSet: () => client.getBucketTagging({ Bucket }),
    NoSuchLifecycleConfiguration: () => client.getBucketLifecycleConfiguration({ Bucket }),
    NoSuchWebsiteConfiguration: () => client.getBucketWebsite({ Bucket }),
    NoSuchCORSConfiguration: () => client.getBucketCors({ Bucket }),
    ObjectLockConfigurationNotFoundError: () => client.getObjectLockConfiguration({ Bucket }),
    ReplicationConfigurationNotFoundError: () => client.getBucketReplication({ Bucket }),
  }
  for (const [code, call] of Object.entries(missing)) {
    test(`a configuration that the bucket does not have returns ${code}`, async () => {
      await expectS3Error(call(), code, 404)
    })
  }

  test('a bucket has the defaults of a new one on AWS', async () => {
    const { ServerSideEncryptionConfiguration } = await client.getBucketEncryption({ Bucket })
    assert.equal(ServerSideEncryptionConfiguration?.Rules, [
      { ApplyServerSideEncryptionByDefault: { SSEAlgorithm: 'AES256' }, BucketKeyEnabled: false },
    ])
    const { PublicAccessBlockConfiguration } = await client.getPublicAccessBlock({ Bucket })
    assert.equal(PublicAccessBlockConfiguration, {
      BlockPublicAcls: true,
      IgnorePublicAcls: true,
      BlockPublicPolicy: true,
      RestrictPublicBuckets: true,
    })
    const { OwnershipControls } = await client.getBucketOwnershipControls({ Bucket })
    assert.equal(OwnershipControls?.Rules, [{ ObjectOwnership: 'BucketOwnerEnforced' }])
    assert.is((await client.getBucketRequestPayment({ Bucket })).Payer, 'BucketOwner')
    assert.is((await client.getBucketLogging({ Bucket })).LoggingEnabled, undefined)
    assert.is((await client.getBucketAccelerateConfiguration({ Bucket })).Status, undefined)
    assert.is((await client.getBucketVersioning({ Bucket })).Status, undefined)
  })

  test('the owner of a bucket and of an object has all rights in their ACLs', async () => {
    await client.putObject({ Bucket, Key: `${prefix}acl`, Body: 'x' })
    for (const { Owner, Grants } of [
      await client.getBucketAcl({ Bucket }),
      await client.getObjectAcl({ Bucket, Key: `${prefix}acl` }),
    ]) {
      assert.equal(
        Grants?.map(({ Grantee, Permission }) => [Grantee?.Type, Grantee?.ID, Permission]),
        [['CanonicalUser', Owner?.ID, 'FULL_CONTROL']],
      )
    }
    await expectS3Error(client.getObjectAcl({ Bucket, Key: `${prefix}none` }), 'NoSuchKey', 404)
  })

  test('a configuration cannot be written, and the bucket stays as it was', async () => {
    await expectS3Error(client.deleteBucketPolicy({ Bucket }), 'NotImplemented', 501)
    const Tagging = { TagSet: [{ Key: 'a', Value: 'b' }] }
    await expectS3Error(client.putBucketTagging({ Bucket, Tagging }), 'NotImplemented', 501)
    await client.headBucket({ Bucket })
  })
}

test('GetObjectTagging returns the tags of a write, and a copy can replace them', async () => {
  const at = (name: string) => ({ Bucket, Key: `${prefix}${name}` })
  const tagsOf = async (name: string) =>
    (await client.getObjectTagging(at(name))).TagSet?.map(({ Key, Value }) => `${Key}=${Value}`).sort()
  await client.putObject({ ...at('tagged'), Body: 'x', Tagging: 'color=a%20b&empty=' })
  assert.equal(await tagsOf('tagged'), ['color=a b', 'empty='])
  await client.putObject({ ...at('untagged'), Body: 'x' })
  assert.equal(await tagsOf('untagged'), [])
  const CopySource = `${Bucket}/${prefix}tagged`
  await client.copyObject({ ...at('copied'), CopySource, MetadataDirective: 'REPLACE' })
  assert.equal(await tagsOf('copied'), ['color=a b', 'empty='])
  await client.copyObject({ ...at('retagged'), CopySource, TaggingDirective: 'REPLACE', Tagging: 'n=1' })
  assert.equal(await tagsOf('retagged'), ['n=1'])
  assert.is((await client.headObject(at('retagged'))).TagCount, 1)
  await expectS3Error(client.getObjectTagging(at('no-object')), 'NoSuchKey', 404)
})

test.run()
