import { randomBytes, randomInt } from 'node:crypto'
import {
  furtherVersionId,
  isUploadId,
  keyedUploadId,
  newUploadId,
  smallestUploadId,
  uploadIdTail,
  uploadIdTimeMs,
} from '@millrace/shared/uploads/upload-id.ts'
import { validate, version } from 'uuid'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('upload ids')

/** Returns an owner, a key of visible ASCII characters, and a time. */
function randomKey() {
  const key = Array.from({ length: randomInt(1, 256) }, () => String.fromCharCode(randomInt(33, 127))).join(
    '',
  )
  return { owner: `s-${randomBytes(16).toString('hex')}`, key, timeMs: randomInt(1, 2 ** 47) }
}

test('the id of an Idempotency-Key is a UUIDv7 with the time of the first request', () => {
  for (let run = 0; run < 2000; run++) {
    const { owner, key, timeMs } = randomKey()
    const id = keyedUploadId({ owner, key }, timeMs)
    assert.ok(isUploadId(id), id)
    assert.ok(validate(id) && version(id) === 7, id)
    assert.is(uploadIdTimeMs(id), timeMs)
  }
})

test('the id of an Idempotency-Key depends on owner, key and time alone, its tail on owner and key', () => {
  const tails = new Set<string>()
  for (let run = 0; run < 2000; run++) {
    const { owner, key, timeMs } = randomKey()
    const id = keyedUploadId({ owner, key }, timeMs)
    assert.is(keyedUploadId({ owner, key }, timeMs), id)
    const later = keyedUploadId({ owner, key }, timeMs + randomInt(1, 2 ** 40))
    assert.ok(later > id)
    assert.is(uploadIdTail(later), uploadIdTail(id))
    tails.add(uploadIdTail(id))
    tails.add(uploadIdTail(keyedUploadId({ owner, key: `${key}x` }, timeMs)))
    tails.add(uploadIdTail(keyedUploadId({ owner: `${owner}x`, key }, timeMs)))
  }
  assert.is(tails.size, 6000)
})

test('all 74 random bits of the id of an Idempotency-Key vary', () => {
  let ones = 0n
  let zeros = 0n
  for (let run = 0; run < 200; run++) {
    const bits = BigInt(`0x${uploadIdTail(keyedUploadId(randomKey(), 0)).replaceAll('-', '')}`)
    ones |= bits
    zeros |= ~bits
  }
  // Version 7 is 0111, the variant 10. Both are constant.
  const constantBits = (0xfn << 76n) | (0b11n << 62n)
  assert.is(ones & zeros & ((1n << 80n) - 1n), ((1n << 80n) - 1n) & ~constantBits)
})

test('the id of an Idempotency-Key never changes, because it must be found again after an upgrade', () => {
  const request = { owner: 'shop', key: 'order-1' }
  assert.is(keyedUploadId(request, 1_764_000_000_000), '019ab697-e800-7f8c-ae99-490064c225c8')
})

test('owner and key of an id are separated', () => {
  const one = keyedUploadId({ owner: 'a', key: 'bc' }, 0)
  const other = keyedUploadId({ owner: 'ab', key: 'c' }, 0)
  assert.is.not(one, other)
})

test('the smallest id of a time sorts before all ids of that time and after all earlier ones', () => {
  for (let run = 0; run < 1000; run++) {
    const { owner, key, timeMs } = randomKey()
    const smallest = smallestUploadId(timeMs)
    assert.ok(isUploadId(smallest))
    assert.is(uploadIdTimeMs(smallest), timeMs)
    assert.ok(smallest <= keyedUploadId({ owner, key }, timeMs))
    assert.ok(smallest > keyedUploadId({ owner, key }, timeMs - 1))
  }
  assert.ok(smallestUploadId(Date.now() + 1000) > newUploadId())
})

test('the further versions of an upload have ids of their own, always the same, with its time', () => {
  const id = newUploadId()
  const ids = [1, 2].map((position) => furtherVersionId(id, position))
  assert.equal(
    ids,
    [1, 2].map((position) => furtherVersionId(id, position)),
  )
  assert.is(new Set([id, ...ids]).size, 3)
  for (const each of ids) {
    assert.ok(isUploadId(each), each)
    assert.is(uploadIdTimeMs(each), uploadIdTimeMs(id))
  }
})

test.run()
