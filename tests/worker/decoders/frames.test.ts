import {
  createFrameReader,
  type Frame,
  frameStart,
  maxFrameBodyBytes,
  maxFrameTextBytes,
} from '@millrace/worker/decoders/frames.ts'
import fc from 'fast-check'
import * as assert from 'uvu/assert'
import { checkProperty } from '../../support/check-property.ts'
import { suite } from '../../support/suite.ts'

const test = suite('frames between a worker and its decoders')

function headOf(textBytes: number, bodyBytes: number): Buffer {
  const head = Buffer.alloc(10)
  head.writeUInt32BE(textBytes)
  head.writeUIntBE(bodyBytes, 4, 6)
  return head
}

test('messages and bodies arrive whole and in their order, wherever the stream is cut', async () => {
  const messages = fc.array(fc.tuple(fc.json(), fc.uint8Array({ maxLength: 30 })), { maxLength: 5 })
  await checkProperty(
    fc.property(messages, fc.array(fc.integer({ min: 1, max: 40 })), (sent, cuts) => {
      const frames = sent.map(([json, body]) => ({ message: JSON.parse(json), body: Buffer.from(body) }))
      const stream = Buffer.concat(
        frames.flatMap(({ message, body }) => [frameStart(message, body.length), body]),
      )
      const received: Frame[] = []
      const read = createFrameReader((frame) => received.push(frame))
      let at = 0
      for (const length of cuts) {
        read(stream.subarray(at, at + length))
        at += length
      }
      read(stream.subarray(at))
      assert.equal(received, JSON.parse(JSON.stringify(frames), revived))
    }),
    { runs: 200 },
  )
})

/** JSON has no buffers, and no -0. */
function revived(_key: string, value: unknown): unknown {
  const isBuffer = typeof value === 'object' && value !== null && 'type' in value && value.type === 'Buffer'
  return isBuffer && 'data' in value && Array.isArray(value.data) ? Buffer.from(value.data) : value
}

test('a text of 1 MiB and a body of 1 GiB are announced without an error, and one byte more is refused', () => {
  assert.equal([maxFrameTextBytes, maxFrameBodyBytes], [1024 ** 2, 1024 ** 3])
  const announce = (textBytes: number, bodyBytes: number) => () =>
    createFrameReader(() => {})(headOf(textBytes, bodyBytes))
  announce(1024 ** 2, 1024 ** 3)()
  assert.throws(announce(1024 ** 2 + 1, 0), /A frame has 1048577 and 0 bytes/)
  assert.throws(announce(2, 1024 ** 3 + 1), /A frame has 2 and 1073741825 bytes/)
})

test('a text that is no JSON is refused', () => {
  assert.throws(() => createFrameReader(() => {})(Buffer.concat([headOf(3, 0), Buffer.from('{a}')])), /JSON/)
})

test.run()
