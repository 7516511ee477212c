import { randomBytes } from 'node:crypto'
import { createSendParts } from '@millrace/shared/ledger/send-parts.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('send parts')
const MiB = 1024 ** 2
const file = randomBytes(3 * MiB + 100)
const noCheck = () => undefined

/** Divides bytes into chunks whose size does not divide the size of a part. */
async function* chunksOf(bytes: Buffer, chunkBytes = 300_001): AsyncGenerator<Buffer> {
  for (let start = 0; start < bytes.length; start += chunkBytes)
    yield bytes.subarray(start, start + chunkBytes)
}

/** Creates a `send` that copies each part. */
function createSink() {
  const parts: [partNumber: number, bytes: Buffer][] = []
  return {
    parts,
    async send(partNumber: number, bytes: Buffer): Promise<void> {
      // Copied later, as S3 reads them. If the buffer was reused too early, it contains other bytes by then.
      await new Promise(setImmediate)
      parts.push([partNumber, Buffer.from(bytes)])
    },
  }
}

test('sendParts sends whole parts in order and returns the rest unsent', async () => {
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

test('sendParts divides one large chunk into parts of different sizes', async () => {
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

test('sendParts continues in the middle of a part', async () => {
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

test('sendParts sends one part at a time and reads at most the next one meanwhile', async () => {
  const release = Promise.withResolvers<void>()
  let readBytes = 0
  let sendingParts = 0
  let maxSendingParts = 0
  const sending = createSendParts()({
    chunks: chunksOf(file, 64 * 1024),
    partBytes: () => MiB,
    onChunk: ({ length }) => {
      readBytes += length
    },
    async send() {
      maxSendingParts = Math.max(maxSendingParts, ++sendingParts)
      await release.promise
      sendingParts -= 1
    },
  })
  for (let turn = 0; turn < 200; turn++) await Promise.resolve()
  assert.is(readBytes, 2 * MiB, 'the second part is complete and waits for the first')
  release.resolve()
  await sending
  assert.is(maxSendingParts, 1)
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
  // Two buffers at a time, and one more before the first of them is released.
  assert.ok(memories.size <= 3, String(memories.size))
})

test('the memory of a part that failed is not reused', async () => {
  const sendParts = createSendParts()
  const failed: ArrayBufferLike[] = []
  const reused: ArrayBufferLike[] = []
  await sendParts({
    chunks: chunksOf(file),
    partBytes: () => MiB,
    onChunk: noCheck,
    async send(_partNumber, { buffer }) {
      failed.push(buffer)
      throw new Error('S3 does not respond.')
    },
  }).then(
    () => assert.unreachable('sendParts did not reject'),
    (error) => assert.is(error.message, 'S3 does not respond.'),
  )
  const stream = { chunks: chunksOf(file), partBytes: () => MiB, onChunk: noCheck }
  await sendParts({ ...stream, send: async (_partNumber, { buffer }) => void reused.push(buffer) })
  assert.is(failed.length, 1)
  assert.not.ok(reused.some((memory) => failed.includes(memory)))
})

test('sendParts rejects only after the part that is being sent has settled', async () => {
  const release = Promise.withResolvers<void>()
  let started = false
  let isSettled = false
  let isRejected = false
  const sending = createSendParts()({
    chunks: chunksOf(file),
    partBytes: () => MiB,
    onChunk(): void {
      if (started) throw new Error('The client closed the connection.')
    },
    async send() {
      started = true
      await release.promise
      isSettled = true
    },
  }).catch((error) => {
    isRejected = true
    assert.is(error.message, 'The client closed the connection.')
  })
  for (let turn = 0; turn < 200; turn++) await Promise.resolve()
  assert.equal([isRejected, isSettled], [false, false])
  release.resolve()
  await sending
  assert.equal([isRejected, isSettled], [true, true])
})

test.run()
