import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { openContractTarget } from '../support/contract-target.ts'
import { expectS3Error } from '../support/expect-s3-error.ts'
import { errorCode, send, signedRequest } from '../support/raw-http.ts'

// Local only: versioning cannot be turned off again, and the bucket of the other files must not have it.

type Removal = { eventName: string; key: string; versionId: string | undefined }
const events: Removal[] = []
const arrivals: (() => void)[] = []

const target = await openContractTarget({
  async deliver(_arn, body) {
    for (const { eventName, s3 } of JSON.parse(body).Records ?? []) {
      events.push({ eventName, key: s3.object.key, versionId: s3.object.versionId })
    }
    for (const arrived of arrivals.splice(0)) arrived()
  },
})
const { client, bucket } = target
const Bucket = bucket
/** Has the form of a version id. */
const unknownVersion = 'v'.repeat(32)

/** Waits for `count` events of one key and returns all of them in order of arrival. */
async function eventsOf(key: string, count: number) {
  const ofKey = () => events.filter((event) => event.key === key)
  while (ofKey().length < count) await new Promise<void>((resolve) => arrivals.push(resolve))
  return ofKey().map(({ eventName, versionId }) => [eventName, versionId])
}

const put = (Key: string, Body: string) => client.putObject({ Bucket, Key, Body })
const textOf = async (Key: string, VersionId?: string) => {
  const { Body } = await client.getObject({ Bucket, Key, VersionId })
  return Body?.transformToString()
}

/** Lists all versions and delete markers with a prefix, page by page. */
async function listAll(Prefix: string, MaxKeys?: number) {
  const listed: [key: string | undefined, id: string | undefined, kind: string, isLatest: boolean][] = []
  let pages = 0
  let markers: { KeyMarker: string | undefined; VersionIdMarker: string | undefined } | undefined
  do {
    const page = await client.listObjectVersions({ Bucket, Prefix, MaxKeys, ...markers })
    pages += 1
    for (const { Key, VersionId, IsLatest = false } of page.Versions ?? []) {
      listed.push([Key, VersionId, 'version', IsLatest])
    }
    for (const { Key, VersionId, IsLatest = false } of page.DeleteMarkers ?? []) {
      listed.push([Key, VersionId, 'marker', IsLatest])
    }
    markers = page.IsTruncated
      ? { KeyMarker: page.NextKeyMarker, VersionIdMarker: page.NextVersionIdMarker }
      : undefined
  } while (markers)
  return { listed, pages }
}

const test = suite('S3 versions')
test.before(async () => {
  await put('before', 'unversioned')
  await client.putBucketVersioning({ Bucket, VersioningConfiguration: { Status: 'Enabled' } })
  await client.putBucketNotificationConfiguration({
    Bucket,
    NotificationConfiguration: {
      QueueConfigurations: [
        {
          QueueArn: 'arn:aws:sqs:eu-central-1:000000000000:uploads',
          Events: ['s3:ObjectCreated:*', 's3:ObjectRemoved:*'],
        },
      ],
    },
  })
})
test.after(() => target.close())

test('GetBucketVersioning returns Enabled, and an invalid status is rejected', async () => {
  assert.is((await client.getBucketVersioning({ Bucket })).Status, 'Enabled')
  await expectS3Error(
    client.putBucketVersioning({ Bucket, VersioningConfiguration: {} }),
    'IllegalVersioningConfigurationException',
    400,
  )
})

test('each write creates a version, and all versions can be read', async () => {
  const first = await put('twice', 'first')
  const second = await put('twice', 'second')
  assert.ok(first.VersionId && second.VersionId && first.VersionId !== second.VersionId)
  assert.is(await textOf('twice'), 'second')
  assert.is(await textOf('twice', first.VersionId), 'first')
  assert.is((await client.headObject({ Bucket, Key: 'twice' })).VersionId, second.VersionId)
  const { Contents } = await client.listObjectsV2({ Bucket, Prefix: 'twice' })
  assert.equal(
    Contents?.map(({ Size }) => Size),
    ['second'.length],
  )
  assert.equal((await listAll('twice')).listed, [
    ['twice', second.VersionId, 'version', true],
    ['twice', first.VersionId, 'version', false],
  ])
  assert.equal(await eventsOf('twice', 2), [
    ['ObjectCreated:Put', first.VersionId],
    ['ObjectCreated:Put', second.VersionId],
  ])
})

test('an object written before versioning remains as version null', async () => {
  await put('before', 'versioned')
  assert.is(await textOf('before', 'null'), 'unversioned')
  await client.deleteObject({ Bucket, Key: 'before', VersionId: 'null' })
  await expectS3Error(client.getObject({ Bucket, Key: 'before', VersionId: 'null' }), 'NoSuchVersion', 404)
  assert.is(await textOf('before'), 'versioned')
})

test('a delete marker hides the object until the marker is deleted', async () => {
  const { VersionId } = await put('hidden', 'here')
  const marker = await client.deleteObject({ Bucket, Key: 'hidden' })
  assert.is(marker.DeleteMarker, true)
  await expectS3Error(client.getObject({ Bucket, Key: 'hidden' }), 'NoSuchKey', 404)
  await expectS3Error(
    client.getObject({ Bucket, Key: 'hidden', VersionId: marker.VersionId }),
    'MethodNotAllowed',
    405,
  )
  assert.is((await client.listObjectsV2({ Bucket, Prefix: 'hidden' })).KeyCount, 0)
  assert.is(await textOf('hidden', VersionId), 'here')

  const undone = await client.deleteObject({ Bucket, Key: 'hidden', VersionId: marker.VersionId })
  assert.equal([undone.DeleteMarker, undone.VersionId], [true, marker.VersionId])
  assert.is(await textOf('hidden'), 'here')
  assert.equal(await eventsOf('hidden', 3), [
    ['ObjectCreated:Put', VersionId],
    ['ObjectRemoved:DeleteMarkerCreated', marker.VersionId],
    ['ObjectRemoved:Delete', marker.VersionId],
  ])
})

test('after the newest version is deleted the previous one is current', async () => {
  await put('undone', 'old')
  const { VersionId } = await put('undone', 'new')
  await client.deleteObject({ Bucket, Key: 'undone', VersionId })
  assert.is(await textOf('undone'), 'old')
  // The same version again: it does not exist any more, so nothing is deleted.
  await client.deleteObject({ Bucket, Key: 'undone', VersionId })
  assert.is(await textOf('undone'), 'old')
})

test('write conditions use the newest version, and a delete marker counts as no object', async () => {
  const { ETag } = await put('conditional', 'one')
  await expectS3Error(
    client.putObject({ Bucket, Key: 'conditional', Body: 'two', IfNoneMatch: '*' }),
    'PreconditionFailed',
    412,
  )
  await expectS3Error(
    client.deleteObject({ Bucket, Key: 'conditional', IfMatch: '"of another"' }),
    'PreconditionFailed',
    412,
  )
  await client.deleteObject({ Bucket, Key: 'conditional', IfMatch: ETag })
  await client.putObject({ Bucket, Key: 'conditional', Body: 'two', IfNoneMatch: '*' })
  assert.is(await textOf('conditional'), 'two')
})

test('CopyObject copies an old version and rejects a delete marker', async () => {
  const { VersionId } = await put('copied', 'old')
  await put('copied', 'new')
  const CopySource = `${bucket}/copied?versionId=${VersionId}`
  const copy = await client.copyObject({ Bucket, Key: 'copied', CopySource })
  assert.equal([copy.CopySourceVersionId, copy.VersionId === undefined], [VersionId, false])
  assert.is(await textOf('copied'), 'old')
  const marker = await client.deleteObject({ Bucket, Key: 'copied' })
  const ofMarker = `${bucket}/copied?versionId=${marker.VersionId}`
  await expectS3Error(client.copyObject({ Bucket, Key: 'copy', CopySource: ofMarker }), 'InvalidRequest', 400)
  await expectS3Error(
    client.copyObject({ Bucket, Key: 'copy', CopySource: `${bucket}/copied` }),
    'NoSuchKey',
    404,
  )
  const ofNone = `${bucket}/copied?versionId=${unknownVersion}`
  await expectS3Error(client.copyObject({ Bucket, Key: 'copy', CopySource: ofNone }), 'NoSuchVersion', 404)
})

test('a version id that cannot exist is an invalid argument', async () => {
  await put('ids', 'kept')
  const VersionId = 'abc'
  await expectS3Error(client.getObject({ Bucket, Key: 'ids', VersionId }), 'InvalidArgument', 400)
  await expectS3Error(client.deleteObject({ Bucket, Key: 'ids', VersionId }), 'InvalidArgument', 400)
  const { Errors } = await client.deleteObjects({ Bucket, Delete: { Objects: [{ Key: 'ids', VersionId }] } })
  assert.is(Errors?.[0]?.Code, 'NoSuchVersion')
  const known = { Bucket, Key: 'ids', VersionId: unknownVersion }
  await expectS3Error(client.getObject(known), 'NoSuchVersion', 404)
  assert.is((await client.deleteObject(known)).$metadata.httpStatusCode, 204)

  for (const method of ['GET', 'DELETE']) {
    const empty = await send(
      target.endpoint,
      signedRequest(target, { method, path: `/${bucket}/ids?versionId=` }),
    )
    assert.equal([empty.status, errorCode(empty)], [400, 'InvalidArgument'])
    assert.match(empty.body, 'Version id cannot be the empty string')
  }
  const copy = (CopySource: string) => client.copyObject({ Bucket, Key: 'ids-copy', CopySource })
  await expectS3Error(copy(`${bucket}/ids?versionId=abc`), 'InvalidRequest', 400)
  await expectS3Error(copy(`${bucket}/ids?versionId=`), 'InvalidArgument', 400)
  await expectS3Error(copy(`${bucket}/ids?versionid=${unknownVersion}`), 'InvalidArgument', 400)
  const { UploadId } = await client.createMultipartUpload({ Bucket, Key: 'ids-part' })
  const part = { Bucket, Key: 'ids-part', UploadId, PartNumber: 1, CopySource: `${bucket}/ids?versionId=abc` }
  await expectS3Error(client.uploadPartCopy(part), 'InvalidArgument', 400)
  await client.abortMultipartUpload({ Bucket, Key: 'ids-part', UploadId })
  assert.is(await textOf('ids'), 'kept')
})

test('an operation that writes a new version does not accept a version id', async () => {
  const { VersionId = '' } = await put('unversioned-write', 'kept')
  const response = await send(
    target.endpoint,
    signedRequest(target, {
      method: 'PUT',
      path: `/${bucket}/unversioned-write?versionId=${encodeURIComponent(VersionId)}`,
      body: 'x',
      headers: { 'content-length': '1' },
    }),
  )
  assert.equal([response.status, errorCode(response)], [400, 'InvalidArgument'])
  assert.match(response.body, 'This operation does not accept a version-id.')
  assert.is(await textOf('unversioned-write'), 'kept')
})

test('errors at a delete marker name it, and say that it can be deleted', async () => {
  await put('marked', 'x')
  const { VersionId = '' } = await client.deleteObject({ Bucket, Key: 'marked' })
  const latest = await send(
    target.endpoint,
    signedRequest(target, { method: 'GET', path: `/${bucket}/marked` }),
  )
  assert.equal([latest.status, latest.headers['x-amz-delete-marker']], [404, 'true'])
  const path = `/${bucket}/marked?versionId=${encodeURIComponent(VersionId)}`
  const named = await send(target.endpoint, signedRequest(target, { method: 'GET', path }))
  assert.equal(
    [named.status, named.headers['allow'], named.headers['x-amz-version-id']],
    [405, 'DELETE', VersionId],
  )
  const headers = { 'x-amz-copy-source': `/${bucket}/marked`, 'content-length': '0' }
  const copied = await send(
    target.endpoint,
    signedRequest(target, { method: 'PUT', path: `/${bucket}/marked-copy`, headers }),
  )
  assert.equal(
    [copied.status, copied.headers['x-amz-delete-marker'], copied.headers['x-amz-version-id']],
    [404, 'true', VersionId],
  )
})

test('a version id marker must not be empty and needs a key marker', async () => {
  await put('markers', 'x')
  const list = async (query: string) => {
    const response = await send(
      target.endpoint,
      signedRequest(target, { method: 'GET', path: `/${bucket}?${query}` }),
    )
    return [response.status, /<Message>([^<]*)/.exec(response.body)?.[1]]
  }
  assert.equal(await list(`version-id-marker=${unknownVersion}&versions=`), [
    400,
    'A version-id marker cannot be specified without a key marker.',
  ])
  assert.equal(await list('key-marker=markers&version-id-marker=&versions='), [
    400,
    'A version-id marker cannot be empty.',
  ])
  assert.equal(await list('key-marker=markers&versions='), [200, undefined])
})

test('a completed multipart upload creates one version, also if it is completed again', async () => {
  const { UploadId } = await client.createMultipartUpload({ Bucket, Key: 'parts' })
  const { ETag } = await client.uploadPart({ Bucket, Key: 'parts', UploadId, PartNumber: 1, Body: 'part' })
  const complete = () =>
    client.completeMultipartUpload({
      Bucket,
      Key: 'parts',
      UploadId,
      MultipartUpload: { Parts: [{ PartNumber: 1, ETag }] },
    })
  const completed = await complete()
  assert.is((await complete()).VersionId, completed.VersionId)
  assert.equal((await listAll('parts')).listed, [['parts', completed.VersionId, 'version', true]])
  await put('parts', 'over it')
  assert.is(await textOf('parts', completed.VersionId), 'part')
})

test('pages of ListObjectVersions contain each version, also if a page ends within a key', async () => {
  for (const body of ['1', '2', '3']) for (const key of ['page/a', 'page/b']) await put(key, body)
  await client.deleteObject({ Bucket, Key: 'page/a' })
  const whole = await listAll('page/')
  assert.is(whole.listed.length, 7)
  const paged = await listAll('page/', 2)
  assert.is(paged.pages, 4)
  const order = (entry: unknown[]) => entry.join()
  assert.equal(paged.listed.map(order).sort(), whole.listed.map(order).sort())
  assert.equal(
    whole.listed.filter(([, , , isLatest]) => isLatest).map(([key, , kind]) => [key, kind]),
    [
      ['page/b', 'version'],
      ['page/a', 'marker'],
    ],
  )
  const behindNothing = { Prefix: 'page/', KeyMarker: 'page/a', VersionIdMarker: 'gone' }
  await expectS3Error(client.listObjectVersions({ Bucket, ...behindNothing }), 'InvalidArgument', 400)
})

test('DeleteObjects deletes versions and delete markers for good', async () => {
  await put('erased', 'one')
  await put('erased', 'two')
  await client.deleteObjects({ Bucket, Delete: { Objects: [{ Key: 'erased' }] } })
  const { listed } = await listAll('erased')
  assert.equal(listed.map(([, , kind]) => kind).sort(), ['marker', 'version', 'version'])
  const Objects = listed.map(([Key = '', VersionId]) => ({ Key, VersionId }))
  const { Deleted = [] } = await client.deleteObjects({ Bucket, Delete: { Objects } })
  assert.is(Deleted.length, 3)
  assert.is(Deleted.filter(({ DeleteMarker }) => DeleteMarker).length, 1)
  assert.equal((await listAll('erased')).listed, [])
})

test('a bucket with suspended versioning keeps old versions and overwrites its null version', async () => {
  const Bucket = 'suspended-bucket'
  await client.createBucket({
    Bucket,
    CreateBucketConfiguration: { LocationConstraint: 'eu-central-1' },
  })
  const set = (Status: 'Enabled' | 'Suspended') =>
    client.putBucketVersioning({ Bucket, VersioningConfiguration: { Status } })
  const versions = async () => {
    const { Versions = [], DeleteMarkers = [] } = await client.listObjectVersions({ Bucket })
    return {
      versions: Versions.map(({ VersionId, IsLatest }) => [VersionId, IsLatest]),
      markers: DeleteMarkers.map(({ VersionId, IsLatest }) => [VersionId, IsLatest]),
    }
  }
  const object = { Bucket, Key: 'k' }
  await set('Enabled')
  const { VersionId } = await client.putObject({ ...object, Body: 'kept' })
  await set('Suspended')
  assert.is((await client.getBucketVersioning({ Bucket })).Status, 'Suspended')
  for (const Body of ['one', 'two']) await client.putObject({ ...object, Body })
  assert.equal((await versions()).versions, [
    ['null', true],
    [VersionId, false],
  ])
  assert.is((await client.headObject({ ...object, VersionId: 'null' })).ContentLength, 3)

  const removed = await client.deleteObject(object)
  assert.is(removed.DeleteMarker, true)
  assert.equal(await versions(), { versions: [[VersionId, false]], markers: [['null', true]] })
  await client.deleteObject(object)
  assert.equal((await versions()).markers, [['null', true]])
  await expectS3Error(client.getObject(object), 'NoSuchKey', 404)
  assert.is((await client.headObject({ ...object, VersionId })).ContentLength, 4)

  await client.deleteObject({ ...object, VersionId: 'null' })
  assert.is(await (await client.getObject(object)).Body?.transformToString(), 'kept')
  await set('Enabled')
  const again = await client.putObject({ ...object, Body: 'new' })
  assert.equal((await versions()).versions, [
    [again.VersionId, true],
    [VersionId, false],
  ])
})

test('a bucket that contains only old versions cannot be deleted', async () => {
  await expectS3Error(client.deleteBucket({ Bucket }), 'BucketNotEmpty', 409)
})

test.run()
