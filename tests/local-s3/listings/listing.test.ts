import fc from 'fast-check'
import * as assert from 'uvu/assert'
import { checkProperty } from '../../support/check-property.ts'
import { suite } from '../../support/suite.ts'
import { openContractTarget } from '../support/contract-target.ts'
import { expectS3Error } from '../support/expect-s3-error.ts'

const target = await openContractTarget()
const { client, bucket, prefix } = target
const put = (name: string) => client.putObject({ Bucket: bucket, Key: `${prefix}${name}`, Body: 'x' })

/** Lists keys with the run's prefix and returns them without it. */
async function list(options: { Prefix?: string; StartAfter?: string } & Record<string, unknown> = {}) {
  const response = await client.listObjectsV2({
    Bucket: bucket,
    ...options,
    Prefix: `${prefix}${options.Prefix ?? ''}`,
    ...(options.StartAfter === undefined ? {} : { StartAfter: `${prefix}${options.StartAfter}` }),
  })
  return {
    ...response,
    keys: (response.Contents ?? []).map(({ Key = '' }) => Key.slice(prefix.length)),
    prefixes: (response.CommonPrefixes ?? []).map(({ Prefix = '' }) => Prefix.slice(prefix.length)),
  }
}

/** Follows continuation tokens to the end. */
async function listAll(options: { Prefix?: string } & Record<string, unknown>) {
  const keys: string[] = []
  const prefixes: string[] = []
  let ContinuationToken: string | undefined
  do {
    const page = await list({ ...options, ContinuationToken })
    keys.push(...page.keys)
    prefixes.push(...page.prefixes)
    ContinuationToken = page.NextContinuationToken
  } while (ContinuationToken !== undefined)
  return { keys, prefixes }
}

const test = suite('S3 listing')
const names = [
  'photos/2024/a.jpg',
  'photos/2024/b.jpg',
  'photos/2025/c.jpg',
  'photos/top.jpg',
  'readme',
  'z/',
]
test.before(async () => {
  for (const name of names) await put(name)
})
test.after(() => target.close())

test('ListObjectsV2 returns each object with size, etag and time', async () => {
  const { keys, KeyCount, IsTruncated, Contents, MaxKeys } = await list()
  assert.equal(keys, names)
  assert.equal([KeyCount, IsTruncated, MaxKeys], [6, false, 1000])
  const first = Contents?.[0]
  assert.equal(
    [first?.Size, first?.ETag, first?.StorageClass],
    [1, '"9dd4e461268c8034f5c8564e155c67a6"', 'STANDARD'],
  )
  assert.ok(Math.abs(Date.now() - (first?.LastModified?.getTime() ?? 0)) < 60_000)
})

test('a delimiter groups keys into common prefixes', async () => {
  const top = await list({ Delimiter: '/' })
  assert.equal([top.keys, top.prefixes, top.KeyCount], [['readme'], ['photos/', 'z/'], 3])
  const photos = await list({ Prefix: 'photos/', Delimiter: '/' })
  assert.equal([photos.keys, photos.prefixes], [['photos/top.jpg'], ['photos/2024/', 'photos/2025/']])
  const odd = await list({ Prefix: 'photos/', Delimiter: '.jp' })
  assert.equal(odd.prefixes, ['photos/2024/a.jp', 'photos/2024/b.jp', 'photos/2025/c.jp', 'photos/top.jp'])
})

test("a listing's prefix may end anywhere in a key", async () => {
  assert.equal((await list({ Prefix: 'photos/2' })).keys, names.slice(0, 3))
  assert.equal((await list({ Prefix: 'photos/2', Delimiter: '/' })).prefixes, [
    'photos/2024/',
    'photos/2025/',
  ])
  assert.equal((await list({ Prefix: 'nothing' })).keys, [])
})

test('start-after lists the keys after the given one', async () => {
  assert.equal((await list({ StartAfter: 'photos/2025/c.jpg' })).keys, ['photos/top.jpg', 'readme', 'z/'])
  assert.equal((await list({ StartAfter: 'photos/2025/c.jp' })).keys[0], 'photos/2025/c.jpg')
})

test('pages of any size give the same listing, with and without a delimiter', async () => {
  const whole = { keys: names, prefixes: [] }
  const rolled = { keys: ['readme'], prefixes: ['photos/', 'z/'] }
  for (const MaxKeys of [1, 2, 3, 5, 6]) {
    assert.equal(await listAll({ MaxKeys }), whole)
    assert.equal(await listAll({ MaxKeys, Delimiter: '/' }), rolled)
  }
})

test('only a page that another one follows is truncated', async () => {
  for (const [MaxKeys, truncated] of [
    [5, true],
    [6, false],
    [7, false],
  ] as const) {
    const { IsTruncated, KeyCount, NextContinuationToken } = await list({ MaxKeys })
    assert.equal(
      [IsTruncated, KeyCount, NextContinuationToken !== undefined],
      [truncated, Math.min(MaxKeys, 6), truncated],
    )
  }
  const grouped = await list({ MaxKeys: 3, Delimiter: '/' })
  assert.equal([grouped.IsTruncated, grouped.KeyCount], [false, 3])
})

test('max-keys 0 lists nothing, and values above 1000 count as 1000', async () => {
  const none = await list({ MaxKeys: 0 })
  assert.equal([none.keys, none.IsTruncated], [[], false])
  assert.is((await list({ MaxKeys: 5000 })).MaxKeys, 1000)
})

test('invalid listing parameters return InvalidArgument', async () => {
  const call = (options: object) => client.listObjectsV2({ Bucket: bucket, ...options })
  await expectS3Error(call({ MaxKeys: -1 }), 'InvalidArgument', 400)
  await expectS3Error(call({ ContinuationToken: 'bm90IGEgdG9rZW4=' }), 'InvalidArgument', 400)
  await expectS3Error(call({ EncodingType: 'base64' }), 'InvalidArgument', 400)
})

test('encoding-type=url encodes keys in a listing', async () => {
  await put('enc/a b+ü&<>/x')
  const { Contents } = await client.listObjectsV2({
    Bucket: bucket,
    Prefix: `${prefix}enc/`,
    EncodingType: 'url',
  })
  assert.is(Contents?.[0]?.Key, `${prefix}enc/a+b%2B%C3%BC%26%3C%3E/x`)
  const plain = await list({ Prefix: 'enc/' })
  assert.equal(plain.keys, ['enc/a b+ü&<>/x'])
})

test('keys are listed in the order of their UTF-8 bytes', async () => {
  // UTF-16 order would put U+10000 before U+FF5E.
  const ordered = ['A', 'B', 'a', '~', 'é', '\uff5e', '\u{10000}']
  for (const name of ordered.toReversed()) await put(`order/${name}`)
  assert.equal(
    (await list({ Prefix: 'order/' })).keys,
    ordered.map((name) => `order/${name}`),
  )
})

test('common prefixes equal those of a model, for any keys and any page size', async () => {
  const runs = target.isLocal ? 25 : 3
  const key = fc.string({ unit: fc.constantFrom('a', 'b', '/', 'é'), minLength: 1, maxLength: 6 })
  let round = 0
  await checkProperty(
    fc.asyncProperty(
      fc.uniqueArray(key, { minLength: 1, maxLength: 10 }),
      fc.integer({ min: 1, max: 4 }),
      async (keys, MaxKeys) => {
        const inner = `model-${round++}/`
        await Promise.all(keys.map((name) => put(`${inner}${name}`)))
        const expected = { keys: new Set<string>(), prefixes: new Set<string>() }
        for (const name of keys.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))) {
          const cut = name.indexOf('/')
          if (cut < 0) expected.keys.add(`${inner}${name}`)
          else expected.prefixes.add(`${inner}${name.slice(0, cut + 1)}`)
        }
        const actual = await listAll({ Prefix: inner, Delimiter: '/', MaxKeys })
        assert.equal(actual, { keys: [...expected.keys], prefixes: [...expected.prefixes] })
      },
    ),
    { runs: runs },
  )
})

test('ListObjectVersions returns versions in pages, and DeleteObjects deletes them by version', async () => {
  await put('versions/a')
  await put('versions/b')
  await put('versions/b b')
  const Prefix = `${prefix}versions/`
  const seen: (string | undefined)[][] = []
  let marker: { KeyMarker: string | undefined; VersionIdMarker: string | undefined } | undefined
  do {
    const page = await client.listObjectVersions({ Bucket: bucket, Prefix, MaxKeys: 2, ...marker })
    for (const { Key, VersionId, IsLatest } of page.Versions ?? []) {
      assert.ok(IsLatest)
      seen.push([Key?.slice(Prefix.length), VersionId])
    }
    marker = page.IsTruncated
      ? { KeyMarker: page.NextKeyMarker, VersionIdMarker: page.NextVersionIdMarker }
      : undefined
  } while (marker)
  assert.equal(
    seen.map(([key]) => key),
    ['a', 'b', 'b b'],
  )
  const Objects = seen.map(([key, VersionId]) => ({ Key: `${Prefix}${key}`, VersionId }))
  await client.deleteObjects({ Bucket: bucket, Delete: { Objects } })
  const left = await client.listObjectVersions({ Bucket: bucket, Prefix })
  assert.equal(left.Versions ?? [], [])
})

/** Lists keys of the run with ListObjects (version 1), without the run's prefix. */
async function listV1(options: { Prefix?: string; Marker?: string } & Record<string, unknown> = {}) {
  const response = await client.listObjects({
    Bucket: bucket,
    ...options,
    Prefix: `${prefix}${options.Prefix ?? ''}`,
    ...(options.Marker === undefined ? {} : { Marker: `${prefix}${options.Marker}` }),
  })
  const short = (key = '') => key.slice(prefix.length)
  return {
    ...response,
    keys: (response.Contents ?? []).map(({ Key }) => short(Key)),
    prefixes: (response.CommonPrefixes ?? []).map((group) => short(group.Prefix)),
    next: response.NextMarker === undefined ? undefined : short(response.NextMarker),
  }
}

test('ListObjects returns keys after its marker, with owner and without a next marker', async () => {
  const all = await listV1({ Prefix: 'photos/' })
  assert.equal(all.keys, names.slice(0, 4))
  assert.equal([all.Marker, all.IsTruncated, all.MaxKeys, all.next], ['', false, 1000, undefined])
  assert.ok(all.Contents?.[0]?.Owner?.ID)
  const page = await listV1({ Prefix: 'photos/', MaxKeys: 2 })
  assert.equal([page.keys, page.IsTruncated, page.next], [names.slice(0, 2), true, undefined])
  const rest = await listV1({ Prefix: 'photos/', Marker: page.keys[1] ?? '' })
  assert.equal([rest.keys, rest.Marker], [names.slice(2, 4), `${prefix}photos/2024/b.jpg`])
  assert.equal((await listV1({ Marker: 'photos/2025/c.jp' })).keys[0], 'photos/2025/c.jpg')
  assert.equal((await listV1({ Marker: '~' })).keys, [])
})

test('ListObjects with a delimiter returns a next marker, and pages of any size give the same listing', async () => {
  for (const MaxKeys of [1, 2, 3]) {
    const keys: string[] = []
    const prefixes: string[] = []
    let marker: string | undefined
    do {
      const page = await listV1({
        Prefix: 'photos/',
        MaxKeys,
        Delimiter: '/',
        ...(marker === undefined ? {} : { Marker: marker }),
      })
      keys.push(...page.keys)
      prefixes.push(...page.prefixes)
      assert.is(page.next !== undefined, page.IsTruncated)
      marker = page.next
    } while (marker !== undefined)
    assert.equal([keys, prefixes], [['photos/top.jpg'], ['photos/2024/', 'photos/2025/']])
  }
})

test('ListObjects skips the common prefix that contains its marker', async () => {
  const page = await listV1({ Prefix: 'photos/', Delimiter: '/', Marker: 'photos/2024/a.jpg' })
  assert.equal([page.prefixes, page.keys], [['photos/2025/'], ['photos/top.jpg']])
})

test('ListObjects encodes keys and markers with encoding-type=url, and rejects invalid parameters', async () => {
  await put('v1/a b/1')
  await put('v1/a b/2')
  await put('v1/c')
  const page = await client.listObjects({
    Bucket: bucket,
    Prefix: `${prefix}v1/`,
    Delimiter: '/',
    MaxKeys: 1,
    EncodingType: 'url',
  })
  assert.equal([page.CommonPrefixes?.[0]?.Prefix, page.NextMarker], [`${prefix}v1/a+b/`, `${prefix}v1/a+b/`])
  const none = await listV1({ MaxKeys: 0 })
  assert.equal([none.keys, none.IsTruncated], [[], false])
  const call = (options: object) => client.listObjects({ Bucket: bucket, ...options })
  await expectS3Error(call({ MaxKeys: -1 }), 'InvalidArgument', 400)
  await expectS3Error(call({ EncodingType: 'base64' }), 'InvalidArgument', 400)
  if (target.isLocal) await expectS3Error(call({ Bucket: 'no-such-bucket-here' }), 'NoSuchBucket', 404)
})

test('ListObjectVersions groups keys at a delimiter, in pages of any size', async () => {
  for (const name of ['grouped/a/1', 'grouped/a/2', 'grouped/b', 'grouped/c/1']) await put(name)
  const Prefix = `${prefix}grouped/`
  for (const MaxKeys of [1, 2, 10]) {
    const keys: (string | undefined)[] = []
    const groups: (string | undefined)[] = []
    let marker: { KeyMarker: string | undefined; VersionIdMarker: string | undefined } | undefined
    do {
      const page = await client.listObjectVersions({
        Bucket: bucket,
        Prefix,
        Delimiter: '/',
        MaxKeys,
        ...marker,
      })
      keys.push(...(page.Versions ?? []).map(({ Key }) => Key?.slice(Prefix.length)))
      groups.push(...(page.CommonPrefixes ?? []).map((group) => group.Prefix?.slice(Prefix.length)))
      marker = page.IsTruncated
        ? { KeyMarker: page.NextKeyMarker, VersionIdMarker: page.NextVersionIdMarker }
        : undefined
    } while (marker)
    assert.equal([keys, groups], [['b'], ['a/', 'c/']], `pages of ${MaxKeys}`)
  }
})

test.run()
