import { randomBytes } from 'node:crypto'
import type { UploadStorage } from '@millrace/client'
import * as assert from 'uvu/assert'
import { createSlots } from '../../packages/client/src/sending/slots.ts'
import type { ProxyAction } from '../support/s3-proxy.ts'
import { suite } from '../support/suite.ts'
import { type ApiWithS3Proxy, startApiWithS3Proxy } from './support/api-with-s3-proxy.ts'

const test = suite('sending')
const MiB = 1024 ** 2
/** Two parts, of which the second has one byte. */
const size = 8 * MiB + 1
const bytes = randomBytes(size)
const file = new File([bytes], 'film.bin', { type: 'application/x-film', lastModified: 1 })
let s: ApiWithS3Proxy

test.before(async () => {
  s = await startApiWithS3Proxy()
})
test.after(() => s.close())

/** Never decides, so that the request hangs. */
const hang = () => new Promise<never>(() => undefined)
const thrownBy = (promise: Promise<unknown>) =>
  promise.then(
    () => undefined,
    (error: unknown) => error,
  )

/** A storage that a test can read. */
function memoryStorage() {
  const entries = new Map<string, string>()
  const storage: UploadStorage = {
    get: (key) => entries.get(key),
    set: (key, value) => entries.set(key, value),
    remove: (key) => entries.delete(key),
  }
  return { entries, storage }
}

/** Sends the file until S3 has all parts but the second, then stops like a page that is closed. */
async function interrupt(
  client: ReturnType<ApiWithS3Proxy['client']>,
  options: { metadata?: Record<string, string> } = {},
) {
  const leaving = new AbortController()
  const sent = s.watchBodies(({ part }) => (part === 2 ? hang() : 'pass'))
  const task = client.startUpload(file, {
    ...options,
    signal: leaving.signal,
    onProgress: (bytes) => bytes === 8 * MiB && leaving.abort(),
  })
  await thrownBy(task.sent)
  assert.equal([task.state, sent.toSorted()], ['aborted', [1, 2]])
  return task.id ?? ''
}

test('pause stops the requests in flight, and resume sends only what S3 does not have', async () => {
  const second = Promise.withResolvers<void>()
  const sent = s.watchBodies(({ part, count }) => {
    if (part !== 2 || count > 2) return 'pass'
    second.resolve()
    return hang()
  })
  const steps: number[] = []
  const first = Promise.withResolvers<void>()
  const task = s.client().startUpload(file, {
    onProgress(sentBytes) {
      steps.push(sentBytes)
      if (sentBytes === 8 * MiB) first.resolve()
    },
  })
  task.resume()
  assert.is(task.state, 'sending')
  await Promise.all([first.promise, second.promise])
  task.pause()
  task.pause()
  assert.equal([task.state, sent.toSorted()], ['paused', [1, 2]])
  task.resume()
  assert.is(task.state, 'sending')
  const upload = await task.sent
  assert.equal([task.state, task.id, upload.state], ['sent', upload.id, 'received'])
  assert.equal(sent.toSorted(), [1, 2, 2])
  assert.equal(steps, [0, 8 * MiB, size])
  assert.ok((await s.readOriginal(upload.id)).bytes?.equals(bytes))
})

test('a small file that was paused is sent again under the same id', async () => {
  const arrived = Promise.withResolvers<void>()
  const sent = s.watchBodies(({ count }) => {
    if (count > 1) return 'pass'
    arrived.resolve()
    return hang()
  })
  const client = s.client()
  await client.api.GET('/session')
  const ids: string[] = []
  const task = client.startUpload(new Blob(['7 bytes']), { onAnnounced: (id) => ids.push(id) })
  await arrived.promise
  task.pause()
  task.resume()
  const { id } = await task.sent
  assert.equal([ids, sent], [[id], [0, 0]])
})

test('abort ends the requests, erases the announced upload and aborts its parts', async () => {
  const held = s.hold(({ method }) => method === 'PUT')
  const { storage, entries } = memoryStorage()
  const client = s.client({ storage })
  const task = client.startUpload(file)
  await held.arrived
  assert.is(entries.size, 1)
  const reason = new Error('wrong file')
  const aborted = task.abort(reason)
  assert.is(task.state, 'aborted')
  assert.is(await thrownBy(task.sent), reason)
  await aborted
  const { id = '' } = task
  const found = await client.api.GET('/uploads/{id}', { params: { path: { id } } })
  assert.equal([found.response.status, await s.openParts(), entries.size], [404, [], 0])
})

test('abort erases an upload whose announcement was still running', async () => {
  const answered = Promise.withResolvers<void>()
  let announcements = 0
  const client = s.client({
    async change({ method, signal }, response) {
      announcements += method === 'POST' ? 1 : 0
      if (method !== 'POST' || announcements > 1) return response
      answered.resolve()
      // The response is on its way.
      return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
    },
  })
  await client.api.GET('/session')
  const task = client.startUpload(file)
  await answered.promise
  assert.is(task.id, undefined)
  await task.abort()
  assert.is(task.state, 'aborted')
  const error = await thrownBy(task.sent)
  assert.ok(error instanceof DOMException && error.name === 'AbortError')
  const { data } = await client.api.GET('/uploads', { params: { query: { limit: 10 } } })
  assert.equal([data?.uploads, await s.openParts()], [[], []])
})

test('abort erases a failed upload, and does not erase one that is sent', async () => {
  s.watchBodies(() => ({ status: 400, code: 'InvalidRequest', message: 'no' }))
  const client = s.client()
  const failed = client.startUpload(new Blob(['7 bytes']))
  assert.match(String(await thrownBy(failed.sent)), 'The storage refused the file: no')
  assert.is(failed.state, 'failed')
  await failed.abort()
  assert.is(failed.state, 'aborted')
  s.watchBodies()
  const sent = client.startUpload(new Blob(['7 bytes']))
  const { id } = await sent.sent
  await sent.abort()
  assert.is(sent.state, 'sent')
  const { data } = await client.api.GET('/uploads', { params: { query: { limit: 10 } } })
  assert.equal(
    data?.uploads.map((upload) => upload.id),
    [id],
  )
})

test('an error of a callback fails the task, and is not taken for one of the network', async () => {
  const sent = s.watchBodies()
  const error = new TypeError('x is undefined')
  const task = s.client().startUpload(file, {
    onProgress(bytes) {
      if (bytes > 0) throw error
    },
  })
  assert.is(await thrownBy(task.sent), error)
  assert.is(task.state, 'failed')
  assert.ok(sent.length <= 4, `${sent}`)
})

test('slots are given in the order of the calls, and one that is not waited for any more is not given', async () => {
  const slots = createSlots(1)
  const never = new AbortController().signal
  const leaving = new AbortController()
  const order: string[] = []
  const first = Promise.withResolvers<void>()
  const runs = [
    slots.run(never, () => first.promise),
    slots.run(never, async () => void order.push('second')),
    slots.run(leaving.signal, async () => void order.push('third')),
    slots.run(never, async () => void order.push('fourth')),
  ]
  leaving.abort(new Error('left'))
  assert.match(String(await thrownBy(Promise.resolve(runs[2]))), 'left')
  assert.equal(order, [])
  first.reject(new Error('failed'))
  const outcomes = await Promise.allSettled(runs)
  assert.equal(
    [order, outcomes.map(({ status }) => status)],
    [
      ['second', 'fourth'],
      ['rejected', 'fulfilled', 'rejected', 'fulfilled'],
    ],
  )
})

test('a client sends a limited number of files and parts at the same time', async () => {
  let [active, most] = [0, 0]
  const two = Promise.withResolvers<void>()
  const decide = async (): Promise<ProxyAction> => {
    active += 1
    most = Math.max(most, active)
    if (active === 2) two.resolve()
    await two.promise
    await new Promise((resolve) => setImmediate(resolve))
    active -= 1
    return 'pass'
  }
  s.watchBodies(decide)
  const client = s.client({ concurrency: 2 })
  await client.api.GET('/session')
  let announced = 0
  const first = client.startUpload(file, { onAnnounced: () => (announced += 1) })
  const others = Array.from({ length: 5 }, () =>
    client.upload(new Blob(['7 bytes']), { onAnnounced: () => (announced += 1) }),
  )
  const waiting = client.startUpload(new Blob(['7 bytes']), { onAnnounced: () => (announced += 1) })
  await waiting.abort()
  await Promise.all([first.sent, ...others])
  assert.equal([announced, most], [6, 2])
})

test('a file that is sent again by another page continues with the parts that S3 does not have', async () => {
  const { storage, entries } = memoryStorage()
  const jar = { cookie: '' }
  const id = await interrupt(s.client({ storage, jar }))
  const client = s.client({ storage, jar })
  assert.is((await client.findInterrupted(file))?.id, id)
  assert.is(await client.findInterrupted(new File([bytes], 'other.bin')), undefined)
  const sent = s.watchBodies()
  const steps: number[] = []
  const ids: string[] = []
  const again = new File([bytes], 'film.bin', { type: 'application/x-film', lastModified: 1 })
  const upload = await client.upload(again, {
    onAnnounced: (id) => ids.push(id),
    onProgress: (bytes) => steps.push(bytes),
  })
  assert.equal([upload.id, ids, sent, steps], [id, [id], [2], [8 * MiB, size]])
  assert.not.ok(client.calls.includes('POST /uploads'))
  assert.equal([entries.size, await client.findInterrupted(file)], [0, undefined])
  assert.ok((await s.readOriginal(id)).bytes?.equals(bytes))
  // It has ended, so the same file is a new upload.
  assert.is.not((await client.upload(again)).id, id)
})

test('a file is not resumed if its content, options or scope differ, or if the caller does not want it', async () => {
  const { storage, entries } = memoryStorage()
  const jar = { cookie: '' }
  const id = await interrupt(s.client({ storage, jar }))
  const stored = [...entries]
  s.watchBodies()
  const changed = new File([Buffer.from(bytes).fill(1, size - 10)], 'film.bin', {
    type: 'application/x-film',
    lastModified: 1,
  })
  for (const [other, options] of [
    [changed, {}],
    [file, { metadata: { album: 'summer' } }],
    [file, { resumeScope: 'documents' }],
    [file, { resume: 'never' }],
  ] as const) {
    entries.clear()
    for (const [key, value] of stored) entries.set(key, value)
    const client = s.client({ storage, jar })
    const task = client.startUpload(other, { ...options, onProgress: () => task.abort() })
    await thrownBy(task.sent)
    assert.is.not(task.id, id)
  }
})

test('a file is sent anew if the interrupted upload was erased, or is that of another user', async () => {
  const { storage, entries } = memoryStorage()
  const jar = { cookie: '' }
  const id = await interrupt(s.client({ storage, jar }))
  const other = s.client({ storage })
  const stored = [...entries]
  assert.is(await other.findInterrupted(file), undefined)
  s.watchBodies()
  const ids: string[] = []
  const upload = await other.upload(file, { onAnnounced: (id) => ids.push(id) })
  assert.is.not(upload.id, id)
  assert.equal(ids, [upload.id])

  for (const [key, value] of stored) entries.set(key, value)
  const own = s.client({ storage, jar })
  await own.api.DELETE('/uploads/{id}', { params: { path: { id } } })
  const again = await own.upload(file)
  assert.is.not(again.id, id)
  assert.ok((await s.readOriginal(again.id)).bytes?.equals(bytes))
})

test('a small file that was interrupted is sent by another page under the same id', async () => {
  const { storage, entries } = memoryStorage()
  const jar = { cookie: '' }
  const small = new File(['7 bytes'], 'a.txt')
  const page = s.client({ storage, jar })
  await page.api.GET('/session')
  const leaving = new AbortController()
  s.watchBodies(() => {
    leaving.abort()
    return hang()
  })
  const left = page.startUpload(small, { signal: leaving.signal })
  await thrownBy(left.sent)
  s.watchBodies()
  const client = s.client({ storage, jar })
  const upload = await client.upload(small)
  assert.equal([upload.id, entries.size], [left.id, 0])

  // The page was closed when S3 had the file, so nothing is sent.
  const leavingLater = new AbortController()
  const later = page.startUpload(small, {
    signal: leavingLater.signal,
    onProgress: (bytes) => bytes > 0 && leavingLater.abort(),
  })
  await thrownBy(later.sent)
  const sent = s.watchBodies()
  assert.equal([(await client.upload(small)).id, sent], [later.id, []])
})

test('two uploads of the same file at the same time stay two uploads', async () => {
  const { storage } = memoryStorage()
  s.watchBodies()
  const jar = { cookie: '' }
  const [page, otherPage] = [s.client({ storage, jar }), s.client({ storage, jar })]
  await page.api.GET('/session')
  const uploads = await Promise.all([page.upload(file), page.upload(file), otherPage.upload(file)])
  assert.is(new Set(uploads.map(({ id }) => id)).size, 3)
})

test('a file is sent although the storage fails or has unreadable entries', async () => {
  s.watchBodies()
  const fail = () => {
    throw new Error('full')
  }
  const small = new File(['7 bytes'], 'a.txt')
  for (const get of [fail, () => 'no JSON', () => '{}', () => Promise.reject(new Error('no'))]) {
    const client = s.client({ storage: { get, set: fail, remove: fail } })
    assert.is(await client.findInterrupted(small), undefined)
    assert.is((await client.upload(small)).size, 7)
  }
})

test.run()
