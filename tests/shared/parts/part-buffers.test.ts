import { createPartBuffers } from '@millrace/shared/parts/part-buffers.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('part buffers')
const MiB = 1024 ** 2
const { signal } = new AbortController()
const at = (address: string, owner = address) => ({ holder: { owner, address }, signal })

async function codeOf(acquiring: Promise<unknown>): Promise<unknown> {
  return acquiring.then(
    () => 'acquired',
    (error) => error.code,
  )
}

test('all buffers, the idle ones included, stay within the budget', async () => {
  const buffers = createPartBuffers({ maxBytes: 32 * MiB, waitMs: 1 })
  for (const bytes of [8 * MiB, 300_000, 3 * MiB, 5 * MiB, 1000, MiB]) {
    for (let round = 0; round < 5; round++) {
      const held = await Promise.all(['a', 'b', 'c'].map((address) => buffers.acquire(bytes, at(address))))
      assert.ok(held.every(({ memory }) => memory.length >= bytes && memory.length <= 8 * MiB))
      assert.ok(buffers.heldBytes() <= 32 * MiB, `${buffers.heldBytes()} bytes`)
      for (const buffer of held) buffer.release()
      assert.ok(buffers.heldBytes() <= 32 * MiB, `${buffers.heldBytes()} bytes`)
    }
  }
})

test('an address may hold a quarter of the budget, an owner half, and others get the rest', async () => {
  const buffers = createPartBuffers({ maxBytes: 64 * MiB, waitMs: 1 })
  for (let count = 0; count < 2; count++) await buffers.acquire(8 * MiB, at('192.0.2.1'))
  assert.is(await codeOf(buffers.acquire(8 * MiB, at('192.0.2.1', 'another'))), 'too_many_uploads')
  assert.is(await codeOf(buffers.acquire(8 * MiB, at('192.0.2.2'))), 'acquired')
  const tenant = { holder: { owner: 'tenant' }, signal }
  for (let count = 0; count < 4; count++) await buffers.acquire(8 * MiB, tenant)
  assert.is(await codeOf(buffers.acquire(8 * MiB, tenant)), 'too_many_uploads')
  assert.is(await codeOf(buffers.acquire(8 * MiB, at('192.0.2.3'))), 'acquired')
  const error = await buffers.acquire(8 * MiB, at('192.0.2.4')).catch((error) => error)
  const { code, limit, remaining, retryAfterSeconds } = error
  assert.equal([code, limit, remaining, retryAfterSeconds], ['overloaded', 64 * MiB, 0, 5])
})

test('the smallest budget has room for one part of each address', async () => {
  const buffers = createPartBuffers({ maxBytes: 32 * MiB, waitMs: 1 })
  for (const address of ['a', 'b', 'c', 'd']) await buffers.acquire(8 * MiB, at(address))
  assert.is(await codeOf(buffers.acquire(8 * MiB, at('e'))), 'overloaded')
})

test('a released buffer goes to who waits longest, but a full address does not hold up the others', async () => {
  const buffers = createPartBuffers({ maxBytes: 32 * MiB })
  const held = await Promise.all(['a', 'b', 'c', 'd'].map((address) => buffers.acquire(8 * MiB, at(address))))
  const order: string[] = []
  const wait = async (address: string) => {
    const buffer = await buffers.acquire(8 * MiB, at(address))
    order.push(address)
    return buffer
  }
  const [first, second, third] = [wait('a'), wait('e'), wait('f')]
  held[1]?.release()
  const ofSecond = await second
  held[0]?.release()
  await first
  ofSecond.release()
  await third
  assert.equal(order, ['e', 'a', 'f'])
})

test('small buffers do not overtake a large one for which the instance has no room', async () => {
  const buffers = createPartBuffers({ maxBytes: 32 * MiB })
  const held = await Promise.all(['a', 'b', 'c', 'd'].map((address) => buffers.acquire(8 * MiB, at(address))))
  const order: string[] = []
  const large = buffers.acquire(8 * MiB, at('e')).then(() => order.push('large'))
  held[0]?.release()
  const small = buffers.acquire(1000, at('f')).then(() => order.push('small'))
  held[1]?.release()
  await Promise.all([large, small])
  assert.equal(order, ['large', 'small'])
})

test('who stops waiting loses no buffer to the others', async () => {
  const buffers = createPartBuffers({ maxBytes: 32 * MiB })
  const held = await Promise.all(['a', 'b', 'c', 'd'].map((address) => buffers.acquire(8 * MiB, at(address))))
  const gone = new AbortController()
  const aborted = buffers.acquire(8 * MiB, { ...at('e'), signal: gone.signal }).catch((error) => error)
  gone.abort(new Error('The client closed the connection.'))
  for (const buffer of held) buffer.release()
  assert.match(String(await aborted), 'closed the connection')
  await Promise.all(['e', 'f', 'g', 'h'].map((address) => buffers.acquire(8 * MiB, at(address))))
})

test('a second release frees nothing, and discarded memory is not reused', async () => {
  const buffers = createPartBuffers({ maxBytes: 32 * MiB })
  const first = await buffers.acquire(8 * MiB, at('a'))
  first.release()
  first.release()
  assert.is(buffers.heldBytes(), 8 * MiB)
  const second = await buffers.acquire(8 * MiB, at('a'))
  assert.is(second.memory.buffer, first.memory.buffer)
  second.discard()
  second.release()
  assert.is(buffers.heldBytes(), 0)
  const third = await buffers.acquire(8 * MiB, at('a'))
  assert.is.not(third.memory.buffer, second.memory.buffer)
})

test.run()
