import { randomBytes } from 'node:crypto'
import { createPartBuffers } from '@millrace/shared/parts/part-buffers.ts'
import { createSendParts, type LastPart, type PartStream } from '@millrace/shared/parts/send-parts.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('send parts')
const MiB = 1024 ** 2
const file = randomBytes(3 * MiB + 100)
const noCheck = () => undefined
const { signal } = new AbortController()

/** Creates a sender whose `finish` copies the last part. */
function createSender(maxBytes = 64 * MiB) {
  const buffers = createPartBuffers({ maxBytes, waitMs: 50 })
  const sendParts = createSendParts({ buffers })
  return {
    buffers,
    send: (stream: Omit<PartStream, 'buffering'>, finish = copyLast) =>
      sendParts({ ...stream, buffering: { holder: { owner: 'tester' }, signal } }, finish),
  }
}

async function copyLast({ partNumber, bytes }: LastPart): Promise<LastPart> {
  return { partNumber, bytes: Buffer.from(bytes) }
}

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
  const { parts, send } = createSink()
  const last = await createSender().send({
    chunks: chunksOf(file),
    partBytes: MiB,
    onChunk: noCheck,
    send,
  })
  assert.equal(
    parts.map(([partNumber]) => partNumber),
    [1, 2, 3],
  )
  assert.is(last.partNumber, 4)
  assert.ok(Buffer.concat([...parts.map(([, bytes]) => bytes), last.bytes]).equals(file))
})

test('sendParts divides one large chunk into parts', async () => {
  const { parts, send } = createSink()
  const chunks = chunksOf(file, file.length)
  const last = await createSender().send({ chunks, partBytes: 1.5 * MiB, onChunk: noCheck, send })
  assert.equal(
    parts.map(([, bytes]) => bytes.length),
    [1.5 * MiB, 1.5 * MiB],
  )
  assert.ok(Buffer.concat([...parts.map(([, bytes]) => bytes), last.bytes]).equals(file))
})

test('a file of unknown size that ends with a part leaves nothing unsent', async () => {
  const { parts, send } = createSink()
  const chunks = chunksOf(file.subarray(0, 2 * MiB))
  const last = await createSender().send({ chunks, partBytes: MiB, onChunk: noCheck, send })
  assert.equal([parts.length, last.partNumber, last.bytes.length], [2, 3, 0])
})

test('the last part of a file of known size stays unsent', async () => {
  const { parts, send } = createSink()
  const chunks = chunksOf(file.subarray(0, 2 * MiB))
  const stream = { chunks, partBytes: MiB, fileBytes: 2 * MiB, onChunk: noCheck, send }
  const last = await createSender().send(stream)
  assert.equal([parts.length, last.partNumber], [1, 2])
  assert.ok(last.bytes.equals(file.subarray(MiB, 2 * MiB)))
})

/** Bytes that came earlier, and how often they were read. */
function earlierBytes(bytes: Buffer) {
  let reads = 0
  const read = async () => {
    reads += 1
    return chunksOf(bytes, 2)
  }
  return { length: bytes.length, read, reads: () => reads }
}

test('sendParts continues in the middle of a part', async () => {
  const { parts, send } = createSink()
  const earlier = earlierBytes(file.subarray(MiB, MiB + 5))
  const first = { partNumber: 2, startBytes: MiB, earlier }
  const chunks = chunksOf(file.subarray(MiB + 5))
  const stream = { chunks, first, partBytes: MiB, fileBytes: file.length, onChunk: noCheck, send }
  const last = await createSender().send(stream)
  assert.equal(
    parts.map(([partNumber]) => partNumber),
    [2, 3],
  )
  assert.ok(Buffer.concat([...parts.map(([, bytes]) => bytes), last.bytes]).equals(file.subarray(MiB)))
})

test('earlier bytes are read only if more bytes come, or if they complete the file', async () => {
  const { send } = createSink()
  for (const fileBytes of [MiB, 5]) {
    const earlier = earlierBytes(file.subarray(0, 5))
    const first = { partNumber: 1, startBytes: 0, earlier }
    const stream = { chunks: chunksOf(Buffer.alloc(0)), first, partBytes: MiB, fileBytes, onChunk: noCheck }
    const last = await createSender().send({ ...stream, send })
    assert.equal([earlier.reads(), last.bytes.length], fileBytes === 5 ? [1, 5] : [0, 0])
  }
})

test('sendParts sends one part at a time and reads at most the next one meanwhile', async () => {
  const release = Promise.withResolvers<void>()
  let readBytes = 0
  let sendingParts = 0
  let maxSendingParts = 0
  const sending = createSender().send({
    chunks: chunksOf(file, 64 * 1024),
    partBytes: MiB,
    onChunk: ({ length }) => {
      readBytes += length
    },
    async send() {
      maxSendingParts = Math.max(maxSendingParts, ++sendingParts)
      await release.promise
      sendingParts -= 1
    },
  })
  for (let turn = 0; turn < 400; turn++) await Promise.resolve()
  assert.is(readBytes, 2 * MiB, 'the second part is complete and waits for the first')
  release.resolve()
  await sending
  assert.is(maxSendingParts, 1)
})

test('a stream takes no memory before its first byte, whatever size was announced', async () => {
  const { buffers, send } = createSender()
  const begin = Promise.withResolvers<void>()
  const heldBytes: number[] = []
  const sending = send({
    chunks: (async function* () {
      await begin.promise
      yield file
    })(),
    partBytes: 8 * MiB,
    fileBytes: 5 * 1024 ** 4,
    onChunk: noCheck,
    send: async () => undefined,
  })
  for (let turn = 0; turn < 100; turn++) await Promise.resolve()
  heldBytes.push(buffers.heldBytes())
  begin.resolve()
  await sending
  assert.equal(heldBytes, [0])
  assert.is(buffers.heldBytes(), 8 * MiB, 'its buffer is idle')
})

test('streams reuse the memory of parts that were sent', async () => {
  const { send } = createSender()
  const memories = new Set<ArrayBufferLike>()
  for (let round = 0; round < 5; round++) {
    await send(
      {
        chunks: chunksOf(file.subarray(0, 3.5 * MiB)),
        partBytes: MiB,
        fileBytes: 3.5 * MiB,
        onChunk: noCheck,
        async send(_partNumber, { buffer }) {
          memories.add(buffer)
        },
      },
      async (last) => {
        memories.add(last.bytes.buffer)
        return last
      },
    )
  }
  // Two buffers at a time, and one for the shorter last part.
  assert.ok(memories.size <= 3, String(memories.size))
})

test('if memory is short, parts are collected and sent one after the other in one buffer', async () => {
  const { buffers, send } = createSender(2 * MiB)
  const other = await buffers.acquire(MiB, { holder: {}, signal })
  const { parts, send: sendPart } = createSink()
  const last = await send({ chunks: chunksOf(file), partBytes: MiB, onChunk: noCheck, send: sendPart })
  assert.ok(Buffer.concat([...parts.map(([, bytes]) => bytes), last.bytes]).equals(file))
  other.release()
})

test('a stream that has begun keeps one buffer, so that it never waits for memory again', async () => {
  const { buffers, send } = createSender(2 * MiB)
  const sent = Promise.withResolvers<void>()
  const others = Promise.withResolvers<void>()
  const sending = send({
    chunks: (async function* () {
      yield file.subarray(0, MiB)
      await others.promise
      yield file.subarray(MiB, 2 * MiB)
    })(),
    partBytes: MiB,
    onChunk: noCheck,
    send: async () => sent.resolve(),
  })
  await sent.promise
  const other = await buffers.acquire(MiB, { holder: {}, signal })
  const refused = await buffers.acquire(MiB, { holder: {}, signal }).catch((error) => error.code)
  assert.is(refused, 'overloaded')
  others.resolve()
  assert.is((await sending).partNumber, 3)
  other.release()
})

test('the memory of a part that failed is not reused, and does not count any more', async () => {
  const failing = async (where: 'send' | 'finish') => {
    const { buffers, send } = createSender()
    const failed: ArrayBufferLike[] = []
    const fail = async ({ buffer }: Buffer): Promise<never> => {
      failed.push(buffer)
      throw new Error('S3 does not respond.')
    }
    const stream = { chunks: chunksOf(file), partBytes: MiB, onChunk: noCheck }
    await send(
      { ...stream, send: (_partNumber, bytes) => (where === 'send' ? fail(bytes) : Promise.resolve()) },
      ({ bytes }) => fail(bytes),
    ).then(
      () => assert.unreachable('sendParts did not reject'),
      (error) => assert.is(error.message, 'S3 does not respond.'),
    )
    const reused: ArrayBufferLike[] = []
    await send({
      ...{ ...stream, chunks: chunksOf(file) },
      send: async (_partNumber, { buffer }) => void reused.push(buffer),
    })
    assert.is(failed.length, 1)
    assert.not.ok(reused.some((memory) => failed.includes(memory)))
    assert.ok(buffers.heldBytes() <= 3 * MiB, 'only idle buffers are left')
  }
  await failing('send')
  await failing('finish')
})

test('a stream that fails between two chunks gives its memory back', async () => {
  const { buffers, send } = createSender()
  for (let round = 0; round < 20; round++) {
    const gone = (async function* () {
      yield file
      throw new Error('The client closed the connection.')
    })()
    const stream = { chunks: gone, partBytes: MiB, onChunk: noCheck, send: async () => undefined }
    await send(stream).then(
      () => assert.unreachable(),
      (error) => assert.match(error.message, 'closed'),
    )
  }
  assert.ok(buffers.heldBytes() <= 3 * MiB, `${buffers.heldBytes()} bytes are held`)
})

test('sendParts rejects only after the part that is being sent has settled', async () => {
  const release = Promise.withResolvers<void>()
  let started = false
  let isSettled = false
  let isRejected = false
  const { send } = createSender()
  const sending = send({
    chunks: chunksOf(file),
    partBytes: MiB,
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
  for (let turn = 0; turn < 400; turn++) await Promise.resolve()
  assert.equal([isRejected, isSettled], [false, false])
  release.resolve()
  await sending
  assert.equal([isRejected, isSettled], [true, true])
})

test.run()
