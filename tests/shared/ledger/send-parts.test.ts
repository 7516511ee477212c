import { randomBytes } from 'node:crypto'
import { createSendParts } from '@millrace/shared/ledger/send-parts.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('send parts')
const MiB = 1024 ** 2
const file = randomBytes(3 * MiB + 100)
const noCheck = () => undefined

/** The bytes in chunks that fit into no part evenly. */
async function* chunksOf(bytes: Buffer, chunkBytes = 300_001): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += chunkBytes) yield bytes.subarray(at, at + chunkBytes)
}

/** Copies the parts that it is sent. */
function createSink() {
  const parts: [partNumber: number, bytes: Buffer][] = []
  return {
    parts,
    async send(partNumber: number, bytes: Buffer): Promise<void> {
      // Later, as S3 reads them: a part whose buffer is already reused has other bytes by then.
      await new Promise(setImmediate)
      parts.push([partNumber, Buffer.from(bytes)])
    },
  }
}

test('sends whole parts in order and returns the rest unsent', async () => {
  const sendParts = createSendParts()
  const { parts, send } = createSink()
  const last = await sendParts({ chunks: chunksOf(file), partBytes: () => MiB, onChunk: noCheck, send })
  assert.equal(
    parts.map(([partNumber]) => partNumber),
    [1, 2, 3],
  )
  assert.is(last.partNumber, 4)
  assert.ok(Buffer.concat([...parts.map(([, bytes]) => bytes), last.bytes]).equals(file))
})

test('cuts one large chunk into parts of different sizes', async () => {
  const sendParts = createSendParts()
  const { parts, send } = createSink()
  const partBytes = (partNumber: number) => partNumber * MiB
  const last = await sendParts({ chunks: chunksOf(file, file.length), partBytes, onChunk: noCheck, send })
  assert.equal(
    parts.map(([, bytes]) => bytes.length),
    [MiB, 2 * MiB],
  )
  assert.ok(Buffer.concat([...parts.map(([, bytes]) => bytes), last.bytes]).equals(file))
})

test('a file of unknown size that ends with a part leaves nothing unsent', async () => {
  const { parts, send } = createSink()
  const chunks = chunksOf(file.subarray(0, 2 * MiB))
  const last = await createSendParts()({ chunks, partBytes: () => MiB, onChunk: noCheck, send })
  assert.equal([parts.length, last.partNumber, last.bytes.length], [2, 3, 0])
})

test('the last part of a file of known size stays unsent', async () => {
  const { parts, send } = createSink()
  const chunks = chunksOf(file.subarray(0, 2 * MiB))
  const stream = { chunks, partBytes: () => MiB, fileBytes: 2 * MiB, onChunk: noCheck, send }
  const last = await createSendParts()(stream)
  assert.equal([parts.length, last.partNumber], [1, 2])
  assert.ok(last.bytes.equals(file.subarray(MiB, 2 * MiB)))
})

test('continues in the middle of a part', async () => {
  const { parts, send } = createSink()
  const first = { partNumber: 2, startBytes: MiB, bytes: file.subarray(MiB, MiB + 5) }
  const chunks = chunksOf(file.subarray(MiB + 5))
  const stream = { chunks, first, partBytes: () => MiB, fileBytes: file.length, onChunk: noCheck, send }
  const last = await createSendParts()(stream)
  assert.equal(
    parts.map(([partNumber]) => partNumber),
    [2, 3],
  )
  assert.ok(Buffer.concat([...parts.map(([, bytes]) => bytes), last.bytes]).equals(file.subarray(MiB)))
})

test('sends one part at a time and collects no more than the next one meanwhile', async () => {
  const release = Promise.withResolvers<void>()
  let read = 0
  let underWay = 0
  let most = 0
  const sending = createSendParts()({
    chunks: chunksOf(file, 64 * 1024),
    partBytes: () => MiB,
    onChunk: ({ length }) => {
      read += length
    },
    async send() {
      most = Math.max(most, ++underWay)
      await release.promise
      underWay -= 1
    },
  })
  for (let turn = 0; turn < 200; turn++) await Promise.resolve()
  assert.is(read, 2 * MiB, 'the second part is complete and waits for the first')
  release.resolve()
  await sending
  assert.is(most, 1)
})

test('streams reuse the memory of parts that were sent, and of a shorter last part', async () => {
  const sendParts = createSendParts()
  const memories = new Set<ArrayBufferLike>()
  for (let round = 0; round < 5; round++) {
    const last = await sendParts({
      chunks: chunksOf(file.subarray(0, 2.5 * MiB)),
      partBytes: () => MiB,
      fileBytes: 2.5 * MiB,
      onChunk: noCheck,
      async send(_partNumber, { buffer }) {
        memories.add(buffer)
      },
    })
    memories.add(last.bytes.buffer)
    last.release()
  }
  // Two at a time, and in between one more than was given back.
  assert.ok(memories.size <= 3, String(memories.size))
})

test('the memory of a part that failed is not reused', async () => {
  const sendParts = createSendParts()
  const failed: ArrayBufferLike[] = []
  const seen: ArrayBufferLike[] = []
  await sendParts({
    chunks: chunksOf(file),
    partBytes: () => MiB,
    onChunk: noCheck,
    async send(_partNumber, { buffer }) {
      failed.push(buffer)
      throw new Error('S3 is away.')
    },
  }).then(
    () => assert.unreachable('the error is lost'),
    (error) => assert.is(error.message, 'S3 is away.'),
  )
  const stream = { chunks: chunksOf(file), partBytes: () => MiB, onChunk: noCheck }
  await sendParts({ ...stream, send: async (_partNumber, { buffer }) => void seen.push(buffer) })
  assert.is(failed.length, 1)
  assert.not.ok(seen.some((memory) => failed.includes(memory)))
})

test('a failing stream rejects only after the part on its way has settled', async () => {
  const release = Promise.withResolvers<void>()
  let started = false
  let isSettled = false
  let isRejected = false
  const sending = createSendParts()({
    chunks: chunksOf(file),
    partBytes: () => MiB,
    onChunk(): void {
      if (started) throw new Error('The client has left.')
    },
    async send() {
      started = true
      await release.promise
      isSettled = true
    },
  }).catch((error) => {
    isRejected = true
    assert.is(error.message, 'The client has left.')
  })
  for (let turn = 0; turn < 200; turn++) await Promise.resolve()
  assert.equal([isRejected, isSettled], [false, false])
  release.resolve()
  await sending
  assert.equal([isRejected, isSettled], [true, true])
})
test.run()
