import { ListObjectsV2Command, type ListObjectsV2CommandInput, S3Client } from '@aws-sdk/client-s3'
import { createListUploadIds } from '@millrace/shared/ledger/list-upload-ids.ts'
import { manifestKey, originalKey } from '@millrace/shared/ledger/object-keys.ts'
import { isUploadId, smallestUploadId, uploadIdTimeMs } from '@millrace/shared/uploads/upload-id.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('listing of upload ids')
const owner = 'someone'
const hourMs = 60 * 60 * 1000
const pageSize = 10
let listings = 0

/** An S3 client that answers ListObjectsV2 from these keys, in byte order, as S3 does. */
function listingOf(keys: string[]): S3Client {
  const sorted = [...keys].sort()
  const s3 = new S3Client({ region: 'us-east-1' })
  const respond = ({
    Prefix = '',
    StartAfter = '',
    ContinuationToken,
    MaxKeys = 0,
  }: ListObjectsV2CommandInput) => {
    listings += 1
    const after = ContinuationToken ?? StartAfter
    const rest = sorted.filter((key) => key.startsWith(Prefix) && key > after)
    const page = rest.slice(0, MaxKeys)
    return {
      $metadata: {},
      Contents: page.map((Key) => ({ Key })),
      IsTruncated: rest.length > page.length,
      ...(rest.length > page.length && { NextContinuationToken: page.at(-1) }),
    }
  }
  s3.middlewareStack.add(
    (_next, context) => async (args) => {
      assert.is(context.commandName, ListObjectsV2Command.name)
      return { response: {}, output: respond({ Bucket: '', ...args.input }) }
    },
    { step: 'initialize', priority: 'low' },
  )
  return s3
}

/** Returns the id of a time, with a number as its last digits. */
const idOf = (timeMs: number, n = 1) =>
  `${smallestUploadId(timeMs).slice(0, 24)}${n.toString(16).padStart(12, '0')}`

const histories = {
  'no uploads': [],
  'one upload of long ago': [idOf(Date.now() - 4000 * 24 * hourMs)],
  'an upload at each minute': Array.from({ length: 300 }, (_, n) => idOf(Date.now() - n * 60_000)),
  'all uploads in one ms of long ago': Array.from({ length: 100 }, (_, n) =>
    idOf(Date.now() - 900 * 24 * hourMs, n),
  ),
  'bursts of several sizes, years apart': [0.01, 1, 30, 1000, 100_000, 10_000_000].flatMap(
    (spacingMs, burst) =>
      Array.from({ length: 40 }, (_, n) =>
        idOf(Math.floor(Date.now() - burst * 400 * 24 * hourMs - n * spacingMs), n + 1),
      ),
  ),
  'uploads of the first ms': [idOf(0), idOf(0, 2), idOf(1), idOf(1, 2)],
  'uploads a minute ahead of the clock': Array.from({ length: 30 }, (_, n) =>
    idOf(Date.now() + 60_000 - n * 10_000),
  ),
}

for (const [name, ids] of Object.entries(histories)) {
  const expected = [...new Set(ids)].sort().reverse()
  // Originals and manifests of different uploads, and other keys.
  const keys = [
    ...expected.flatMap((id, n) => [
      ...(n % 3 === 0 ? [] : [originalKey({ owner, id })]),
      ...(n % 3 === 1 ? [] : [manifestKey({ owner, id })]),
    ]),
    `originals/${owner}/notes.txt`,
    ...expected.map((id) => originalKey({ owner: `${owner}-else`, id })),
  ]

  test(`windows contain each id once, newest first: ${name}`, async () => {
    const list = createListUploadIds({ s3: listingOf(keys), bucket: 'b', pageSize })
    const listed: string[] = []
    let end: string | undefined
    for await (const window of list(owner)) {
      for (const id of window.ids) {
        assert.ok(isUploadId(id))
        assert.ok(id >= window.from)
        assert.ok(end === undefined || id < end)
      }
      listed.push(...window.ids)
      end = window.from
    }
    assert.is(end, '')
    assert.equal(listed, expected)
  })

  test(`a listing may begin at any id, and finds a window within 10 rounds: ${name}`, async () => {
    const list = createListUploadIds({ s3: listingOf(keys), bucket: 'b', pageSize })
    for (const before of expected.filter((_, n) => n % 37 === 0)) {
      const listed: string[] = []
      let end = before
      while (end !== '') {
        let windows = 0
        for await (const window of list(owner, { before: end, maxRounds: 10 })) {
          listed.push(...window.ids)
          end = window.from
          windows += 1
        }
        assert.ok(windows > 0, `none before ${end}, ${uploadIdTimeMs(end)}`)
      }
      assert.equal(
        listed,
        expected.filter((id) => id < before),
      )
    }
  })
}

test('an owner with few uploads costs one listing of each kind of object', async () => {
  const ids = Array.from({ length: pageSize }, (_, n) => idOf(Date.now() - n * 24 * hourMs))
  const list = createListUploadIds({
    s3: listingOf(ids.map((id) => originalKey({ owner, id }))),
    bucket: 'b',
    pageSize,
  })
  listings = 0
  for await (const window of list(owner)) assert.equal(window, { ids, from: '' })
  assert.is(listings, 3)
})

test.run()
