import fc from 'fast-check'
import * as assert from 'uvu/assert'
import { SendError } from '../../packages/client/src/api/millrace-error.ts'
import type { SendBody } from '../../packages/client/src/sending/send-body.ts'
import { sendParts } from '../../packages/client/src/sending/send-parts.ts'
import { checkProperty } from '../support/check-property.ts'
import { suite } from '../support/suite.ts'
import { withInstantTimers } from './support/instant-timers.ts'

const test = suite('parts of the client')

/** What becomes of one request to S3: it succeeds, fails, or was sent with a URL that has expired. */
type Fate = 'ok' | 'hidden etag' | 'reset' | 'busy' | 'expired' | 'refused'

type Scene = {
  size: number
  partSize: number
  /** Parts that are in S3 already; a whole one, or one of another size. */
  received: { partNumber: number; isWhole: boolean }[]
  /** URLs that came with the announcement, for the first parts. */
  announced: number
  /** The fates of each part's requests, in order; then `ok`. */
  fates: Fate[][]
  /** The share of a failed request that was sent before, as progress. */
  shareBefore: number
}

/** Sends a file to an S3 in memory. */
async function send(scene: Scene, options: { signal?: AbortSignal; onPut?: () => void } = {}) {
  const { size, partSize, announced, fates, shareBefore } = scene
  const bytes = Uint8Array.from({ length: size }, (_, index) => index % 251)
  const partCount = Math.ceil(size / partSize)
  const bytesOf = (part: number) => Math.min(partSize, size - (part - 1) * partSize)
  const stored = new Map<number, { bytes: Uint8Array; etag: string }>()
  const attempts = new Map<number, number>()
  const signed: number[][] = []
  const sent: number[] = []
  const expired = new Set<string>()
  let signatures = 0
  let running = 0
  let maxRunning = 0
  const sign = (partNumber: number) => ({
    partNumber,
    url: `https://s3.example/${partNumber}?${signatures++}`,
  })
  const received = scene.received.map(({ partNumber, isWhole }) => {
    const slice = bytes.slice((partNumber - 1) * partSize, (partNumber - 1) * partSize + bytesOf(partNumber))
    stored.set(partNumber, { bytes: slice, etag: `e${partNumber}` })
    return { partNumber, etag: `e${partNumber}`, size: isWhole ? slice.length : slice.length + 1 }
  })
  const sendBody: SendBody = async ({ url, body, onProgress, signal }) => {
    signal.throwIfAborted()
    options.onPut?.()
    const partNumber = Number(new URL(url).pathname.slice(1))
    const attempt = attempts.get(partNumber) ?? 0
    attempts.set(partNumber, attempt + 1)
    running += 1
    maxRunning = Math.max(maxRunning, running)
    try {
      // Some turns of the loop, so that parts overlap.
      for (let turn = 0; turn < 3; turn++) await new Promise<void>((resolve) => setImmediate(resolve))
      signal.throwIfAborted()
      const fate = expired.has(url) ? 'expired' : (fates[partNumber - 1]?.[attempt] ?? 'ok')
      if (fate !== 'ok' && fate !== 'hidden etag') onProgress(shareBefore)
      if (fate === 'reset') throw new SendError(0, 'Cannot reach the storage.')
      if (fate === 'busy') throw new SendError(503, 'busy', 'SlowDown')
      if (fate === 'refused') throw new SendError(400, 'refused', 'InvalidRequest')
      if (fate === 'expired') {
        expired.add(url)
        throw new SendError(403, 'Request has expired', 'AccessDenied')
      }
      if (!(body instanceof Blob)) throw new TypeError('A part is a Blob.')
      stored.set(partNumber, { bytes: new Uint8Array(await body.arrayBuffer()), etag: `e${partNumber}` })
      onProgress(1)
      return fate === 'hidden etag' ? null : `"e${partNumber}"`
    } finally {
      running -= 1
    }
  }
  const timers = withInstantTimers(0)
  try {
    const outcome = await sendParts({
      sendBody,
      requests: {
        async signParts(_id, partNumbers) {
          signed.push(partNumbers)
          return partNumbers.map(sign)
        },
        listParts: async () => ({
          partSize,
          partCount,
          parts: [...stored].map(([partNumber, { etag }]) => ({
            partNumber,
            etag,
            size: bytesOf(partNumber),
          })),
        }),
      },
      id: 'an-upload',
      plan: { partSize, partCount },
      urls: Array.from({ length: Math.min(announced, partCount) }, (_, index) => sign(index + 1)),
      file: new Blob([bytes]),
      received,
      onSent: (count) => sent.push(count),
      signal: options.signal ?? new AbortController().signal,
    }).catch((error: unknown) => error)
    return {
      outcome,
      bytes,
      stored,
      attempts,
      signed,
      sent,
      maxRunning: () => maxRunning,
      running: () => running,
      partCount,
    }
  } finally {
    timers.restore()
  }
}

const scenes = fc
  .record({
    size: fc.integer({ min: 1, max: 600 }),
    partSize: fc.integer({ min: 1, max: 60 }),
    announced: fc.nat(12),
    shareBefore: fc.double({ min: 0, max: 1, noNaN: true }),
  })
  .chain((plan) => {
    const partCount = Math.ceil(plan.size / plan.partSize)
    const fate = fc.constantFrom<Fate>('ok', 'ok', 'hidden etag', 'reset', 'busy', 'expired')
    return fc.record({
      size: fc.constant(plan.size),
      partSize: fc.constant(plan.partSize),
      announced: fc.constant(plan.announced),
      shareBefore: fc.constant(plan.shareBefore),
      received: fc.uniqueArray(
        fc.record({ partNumber: fc.integer({ min: 1, max: partCount }), isWhole: fc.boolean() }),
        { selector: ({ partNumber }) => partNumber, maxLength: partCount },
      ),
      // At most two failures of a part, which its retries outlast whatever their kinds.
      fates: fc.array(fc.array(fate, { maxLength: 2 }), { maxLength: partCount }),
    })
  })

test('whatever fails in between, S3 has each part once whole, and progress ends at the size and never exceeds it', async () => {
  await checkProperty(
    fc.asyncProperty(scenes, async (scene) => {
      const { outcome, bytes, stored, signed, sent, maxRunning, attempts, partCount } = await send(scene)
      assert.equal(
        outcome,
        Array.from({ length: partCount }, (_, index) => ({ partNumber: index + 1, etag: `e${index + 1}` })),
      )
      const parts = [...stored].toSorted(([one], [other]) => one - other)
      assert.equal(Buffer.concat(parts.map(([, part]) => part.bytes)), Buffer.from(bytes))
      assert.ok(sent.every((count) => count >= 0 && count <= scene.size && Number.isInteger(count)))
      assert.is(sent.at(-1), scene.size)
      assert.ok(maxRunning() <= 4)
      assert.ok(signed.every((batch) => batch.length >= 1 && batch.length <= 100))
      // A part that S3 had whole is not sent again, and not signed either.
      for (const { partNumber, isWhole } of scene.received) {
        if (!isWhole) continue
        assert.is(attempts.get(partNumber), undefined)
        assert.not(signed.flat().includes(partNumber))
      }
    }),
    { runs: 60 },
  )
})

const plain = { size: 1_050, partSize: 10, received: [], announced: 0, fates: [], shareBefore: 0.5 }

test('four parts are sent at a time, and a hundred are signed at a time', async () => {
  const { maxRunning, signed } = await send(plain)
  assert.is(maxRunning(), 4)
  assert.equal(
    signed.map((batch) => [batch.length, batch[0]]),
    [
      [100, 1],
      [5, 101],
    ],
  )
  const announced = await send({ ...plain, announced: 105 })
  assert.equal(announced.signed, [])
})

test('a part is renewed twice and then fails; other faults get five retries', async () => {
  const expired = await send({ ...plain, size: 10, fates: [Array<Fate>(2).fill('expired')] })
  assert.equal(expired.outcome, [{ partNumber: 1, etag: 'e1' }])
  const tooOften = await send({ ...plain, size: 10, fates: [Array<Fate>(3).fill('expired')] })
  assert.ok(tooOften.outcome instanceof SendError && tooOften.outcome.status === 403)
  assert.is(tooOften.attempts.get(1), 3)
  const busy = await send({ ...plain, size: 10, fates: [Array<Fate>(5).fill('busy')] })
  assert.equal(busy.outcome, [{ partNumber: 1, etag: 'e1' }])
  const tooBusy = await send({ ...plain, size: 10, fates: [Array<Fate>(6).fill('busy')] })
  assert.ok(tooBusy.outcome instanceof SendError && tooBusy.outcome.status === 503)
  assert.is(tooBusy.attempts.get(1), 6)
})

test('URLs that expired together are signed again in one batch', async () => {
  const fates = Array.from({ length: 4 }, (): Fate[] => ['expired'])
  const { signed, outcome } = await send({ ...plain, size: 80, announced: 8, fates })
  assert.ok(Array.isArray(outcome) && outcome.length === 8)
  assert.equal(signed, [[1, 2, 3, 4, 5, 6, 7, 8]])
})

test('bytes of a failed request do not count until they are sent again', async () => {
  const { sent } = await send({ ...plain, size: 10, fates: [['busy', 'expired']] })
  assert.equal(
    sent.filter((count, index) => count !== sent[index - 1]),
    [0, 5, 0, 5, 0, 10],
  )
})

test('a part that fails for good ends the others, and nothing runs when the sending has ended', async () => {
  const fates = [['refused'] satisfies Fate[]]
  const { outcome, attempts, running } = await send({ ...plain, size: 200, announced: 20, fates })
  assert.ok(outcome instanceof SendError && outcome.code === 'InvalidRequest')
  assert.ok(attempts.size <= 8, `${attempts.size} parts were sent`)
  assert.is(running(), 0)
})

test('an abort ends the requests with its reason', async () => {
  const reason = new Error('The user left.')
  const aborting = new AbortController()
  let puts = 0
  const { outcome, running } = await send(
    { ...plain, announced: 105 },
    {
      signal: aborting.signal,
      onPut() {
        puts += 1
        if (puts === 6) aborting.abort(reason)
      },
    },
  )
  assert.is(outcome, reason)
  assert.ok(puts < 12, `${puts} requests`)
  assert.is(running(), 0)
})

test.run()
