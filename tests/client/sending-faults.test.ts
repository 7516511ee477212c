import { randomBytes } from 'node:crypto'
import { openAsBlob } from 'node:fs'
import { appendFile, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  ListMultipartUploadsCommand,
  ListPartsCommand,
  UploadPartCommand,
} from '@aws-sdk/client-s3'
import { ApiProblem, SendError } from '@millrace/client'
import * as assert from 'uvu/assert'
import { retry } from '../../packages/client/src/api/retry.ts'
import type { ProxyAction } from '../support/s3-proxy.ts'
import { suite } from '../support/suite.ts'
import { type ApiWithS3Proxy, startApiWithS3Proxy } from './support/api-with-s3-proxy.ts'

const test = suite('faults while sending')
const MiB = 1024 ** 2
const bytes = randomBytes(8 * MiB + 1)
/** Two parts, of which the second has one byte. */
const file = new Blob([bytes])
const small = new Blob(['7 bytes'])
let s: ApiWithS3Proxy

const { random } = Math

test.before(async () => {
  s = await startApiWithS3Proxy()
})
// The delays before a repetition are random, from none to the whole: here none. retry.test.ts is about how long they are.
test.before.each(() => {
  Math.random = () => 0
})
test.after.each(() => {
  Math.random = random
})
test.after(() => s.close())

const thrownBy = (promise: Promise<unknown>) =>
  promise.then(
    () => undefined,
    (error: unknown) => error,
  )

/** What S3 answers to a request whose signature it does not accept any more. */
const ended = [
  { status: 403, code: 'AccessDenied', message: 'Request has expired' },
  { status: 403, code: 'RequestTimeTooSkewed', message: 'The difference … is too large.' },
  { status: 400, code: 'ExpiredToken', message: 'The provided token has expired.' },
] as const satisfies ProxyAction[]

/** The multipart upload of a file in S3. */
async function openPartsOf(id: string) {
  const { bucket: Bucket, s3 } = s.api
  const { Uploads = [] } = await s3.send(new ListMultipartUploadsCommand({ Bucket }))
  const { Key, UploadId } = Uploads.find((upload) => upload.Key?.endsWith(id)) ?? {}
  return { Bucket, Key, UploadId }
}

test('a small file whose signature ended is announced again, and stays one upload', async () => {
  for (const transport of ['put', 'form']) {
    for (const refusal of ended) {
      const sent = s.watchBodies(({ count }) => (count === 1 ? refusal : 'pass'))
      const client = s.client({
        // An instance of the version before knows forms only.
        async answer(request) {
          if (transport === 'put' || !(await request.clone().text()).includes('transport')) return undefined
          const errors = [{ field: 'transport', message: 'is not a known field' }]
          return Response.json(
            { code: 'invalid_request', detail: 'transport is unknown.', errors },
            { status: 400 },
          )
        },
      })
      await client.api.GET('/session')
      const { id } = await client.upload(small)
      assert.is(sent.length, 2)
      const { bytes, versions } = await s.readOriginal(id)
      assert.equal([String(bytes), versions], ['7 bytes', 1])
      const { data } = await client.api.GET('/uploads', { params: { query: { limit: 10 } } })
      assert.is(data?.uploads.length, 1)
    }
  }
})

test('a file whose key the API has forgotten meanwhile stays one upload', async () => {
  const forget = async () => {
    for (const key of await s.api.redis.keys(`${s.api.prefix}:*:idempotency:*`)) await s.api.redis.del(key)
  }
  for (const hasArrived of [false, true]) {
    let ids: string[] = []
    const sent = s.watchBodies(async ({ count }) => {
      if (count > 1) return 'pass'
      await forget()
      return hasArrived ? 'lose' : { status: 403, code: 'AccessDenied' }
    })
    const client = s.client()
    await client.api.GET('/session')
    const task = client.startUpload(small, { onAnnounced: (id) => ids.push(id) })
    const { id } = await task.sent
    const { data } = await client.api.GET('/uploads', { params: { query: { limit: 10 } } })
    assert.equal([data?.uploads.map((upload) => upload.id), sent.length, task.id], [[id], 2, id])
    assert.is(ids.at(-1), id)
    ids = []
  }
})

test('parts whose signatures ended are signed again, and S3 being busy or slow is waited for', async () => {
  const [denied, skewed, expired] = ended
  const slow: ProxyAction[] = [
    { status: 400, code: 'RequestTimeout' },
    'refuse',
    'fail',
    'reset',
    { status: 408, code: 'RequestTimeout' },
  ]
  for (const [refusals, signed] of [
    [[denied, skewed], 2],
    [[expired], 1],
    [slow, 0],
  ] as const) {
    const left = [...refusals]
    const sent = s.watchBodies(({ part }) => (part === 2 && left.shift()) || 'pass')
    const client = s.client()
    const upload = await client.upload(file)
    assert.equal([upload.state, sent.toSorted()], ['received', [1, ...refusals.map(() => 2), 2]])
    assert.is(client.calls.filter((call) => call === 'POST /uploads/ID/parts').length, signed)
  }
})

test('a file that S3 refuses also with a fresh signature fails with its reason', async () => {
  for (const blob of [small, file]) {
    const sent = s.watchBodies(() => ({ status: 403, code: 'AccessDenied', message: 'Access Denied' }))
    const error = await thrownBy(s.client().upload(blob))
    if (!(error instanceof SendError)) throw error
    assert.equal(
      [error.status, error.code, error.message],
      [403, 'AccessDenied', 'The storage refused the file: Access Denied'],
    )
    const attempts = [0, 1, 2].map((part) => sent.filter((other) => other === part).length)
    assert.is(Math.max(...attempts), 3)
  }
})

test('parts are completed although the CORS rules of the bucket hide their ETags', async () => {
  s.watchBodies(() => 'hide-etag')
  const { id, state } = await s.client().upload(file)
  assert.is(state, 'received')
  assert.ok((await s.readOriginal(id)).bytes?.equals(bytes))
})

test('a file whose parts S3 has deleted is sent as a new upload, and the old one is erased', async () => {
  const client = s.client()
  const ids: string[] = []
  const sent = s.watchBodies(async ({ count }): Promise<ProxyAction> => {
    if (count === 1) await s.api.s3.send(new AbortMultipartUploadCommand(await openPartsOf(ids[0] ?? '')))
    return 'pass'
  })
  const { id } = await client.upload(file, { onAnnounced: (id) => ids.push(id) })
  assert.equal([ids.length, ids.at(-1), sent.length > 2], [2, id, true])
  assert.ok((await s.readOriginal(id)).bytes?.equals(bytes))
  const { data } = await client.api.GET('/uploads', { params: { query: { limit: 10 } } })
  assert.equal(
    data?.uploads.map((upload) => upload.id),
    [id],
  )
})

test('a file that was erased while it was sent does not come back', async () => {
  const client = s.client()
  let id = ''
  s.watchBodies(async ({ part, count }): Promise<ProxyAction> => {
    if (part === 2 && count <= 2) await client.api.DELETE('/uploads/{id}', { params: { path: { id } } })
    return 'pass'
  })
  const onAnnounced = (announced: string) => {
    id = announced
  }
  const error = await thrownBy(client.upload(file, { onAnnounced }))
  const code = error instanceof ApiProblem || error instanceof SendError ? error.code : error
  assert.ok(code === 'upload_not_found' || code === 'NoSuchUpload', String(code))
  const { data } = await client.api.GET('/uploads', { params: { query: { limit: 10 } } })
  assert.equal(data?.uploads, [])
})

test('a file that another process completed meanwhile is not sent again', async () => {
  const client = s.client()
  const first = Promise.withResolvers<void>()
  const ids: string[] = []
  const decide = async ({ part, count }: { part: number; count: number }): Promise<ProxyAction> => {
    if (part !== 2 || count > 2) return 'pass'
    await first.promise
    const open = await openPartsOf(ids[0] ?? '')
    await s.api.s3.send(new UploadPartCommand({ ...open, PartNumber: 2, Body: bytes.subarray(8 * MiB) }))
    const { Parts } = await s.api.s3.send(new ListPartsCommand(open))
    await s.api.s3.send(new CompleteMultipartUploadCommand({ ...open, MultipartUpload: { Parts } }))
    const parts = (Parts ?? []).map(({ PartNumber = 0, ETag = '' }) => ({
      partNumber: PartNumber,
      etag: ETag.replaceAll('"', ''),
    }))
    await client.api.POST('/uploads/{id}/complete', {
      params: { path: { id: ids[0] ?? '' } },
      body: { parts },
    })
    return 'pass'
  }
  s.watchBodies(decide)
  const { id, state } = await client.upload(file, {
    onAnnounced: (id) => ids.push(id),
    onProgress: (bytes) => bytes === 8 * MiB && first.resolve(),
  })
  assert.equal([state, ids], ['received', [id]])
})

test('a part that was overwritten meanwhile is sent again', async () => {
  const ids: string[] = []
  const first = Promise.withResolvers<void>()
  const sent = s.watchBodies(async ({ part, count }): Promise<ProxyAction> => {
    if (part !== 2 || count > 2) return 'pass'
    await first.promise
    const open = await openPartsOf(ids[0] ?? '')
    await s.api.s3.send(new UploadPartCommand({ ...open, PartNumber: 1, Body: Buffer.alloc(8 * MiB) }))
    return 'pass'
  })
  const { id } = await s.client().upload(file, {
    onAnnounced: (id) => ids.push(id),
    onProgress: (bytes) => bytes === 8 * MiB && first.resolve(),
  })
  assert.equal(sent.toSorted(), [1, 1, 2])
  assert.ok((await s.readOriginal(id)).bytes?.equals(bytes))
})

test('a file that was changed since it was chosen fails at once', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'millrace-client-'))
  try {
    await writeFile(join(directory, 'film'), bytes)
    const film = await openAsBlob(join(directory, 'film'))
    const sent = s.watchBodies()
    const error = await thrownBy(
      s.client().upload(film, { onAnnounced: () => void appendFile(join(directory, 'film'), 'more') }),
    )
    assert.match(String(error), 'The file cannot be read: it was changed, moved or removed')
    assert.ok(sent.length <= 4, `${sent}`)
  } finally {
    await rm(directory, { recursive: true })
  }
})

test('a request that fails while the browser is offline does not count, and follows when it is online', async () => {
  const page = new EventTarget()
  const stubs = {
    navigator: { onLine: false },
    addEventListener: page.addEventListener.bind(page),
    removeEventListener: page.removeEventListener.bind(page),
  }
  const before = Object.entries(stubs).map(
    ([name]) => [name, Object.getOwnPropertyDescriptor(globalThis, name)] as const,
  )
  for (const [name, value] of Object.entries(stubs)) {
    Object.defineProperty(globalThis, name, { value, configurable: true })
  }
  try {
    let attempts = 0
    const failed = Promise.withResolvers<void>()
    const work = async () => {
      attempts += 1
      failed.resolve()
      // One attempt fails offline, the next one online: only that one counts.
      if (attempts <= 2 || !stubs.navigator.onLine) throw new TypeError('Failed to fetch')
      return 'sent'
    }
    const never = new AbortController()
    const sent = retry(work, { signal: never.signal, attempts: 2 })
    await failed.promise
    stubs.navigator.onLine = true
    page.dispatchEvent(new Event('online'))
    assert.equal([await sent, attempts], ['sent', 3])

    stubs.navigator.onLine = false
    const waiting = retry(work, { signal: never.signal, attempts: 1 })
    never.abort(new Error('enough'))
    assert.match(String(await thrownBy(waiting)), 'enough')
  } finally {
    for (const [name, descriptor] of before) {
      if (descriptor) Object.defineProperty(globalThis, name, descriptor)
      else Reflect.deleteProperty(globalThis, name)
    }
  }
})

test.run()
