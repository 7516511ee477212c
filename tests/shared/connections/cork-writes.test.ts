import { setImmediate as nextTurn } from 'node:timers/promises'
import { connectRedis } from '@millrace/shared/connections/connections.ts'
import { createLog } from '@millrace/shared/service/log.ts'
import type { Redis } from 'ioredis'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('corked writes')
let redis: Redis

test.before(async () => {
  redis = connectRedis(process.env['REDIS_URL'] ?? '', createLog({ level: 'silent', instance: 'test' }))
  await redis.ping()
})
test.after(() => redis.disconnect())

/** Sends commands in one turn of the event loop. @returns how many bytes wait to be written, then and a turn later */
async function waitingBytes(connection: Redis): Promise<[first: number, both: number, later: number]> {
  const echoes = [connection.echo('one')]
  const first = connection.stream.writableLength
  echoes.push(connection.echo('two'))
  const both = connection.stream.writableLength
  await nextTurn()
  const later = connection.stream.writableLength
  assert.equal(await Promise.all(echoes), ['one', 'two'])
  return [first, both, later]
}

test('commands of one turn of the event loop are written together at its end, each time', async () => {
  for (let turn = 0; turn < 2; turn++) {
    const [first, both, later] = await waitingBytes(redis)
    assert.ok(first > 0 && both === 2 * first, `${first} and ${both} bytes`)
    assert.is(later, 0)
  }
})

test('a duplicate of a connection writes together as well', async () => {
  const duplicate = redis.duplicate()
  await duplicate.ping()
  const [first, both, later] = await waitingBytes(duplicate)
  assert.equal([first > 0, both, later], [true, 2 * first, 0])
  duplicate.disconnect()
})

test('commands before a disconnect in the same turn are written', async () => {
  const duplicate = redis.duplicate()
  await duplicate.ping()
  const key = `test-${process.pid}-corked`
  duplicate.set(key, 'written', 'PX', 60_000).catch(() => undefined)
  const ended = new Promise((resolve) => duplicate.once('end', resolve))
  duplicate.disconnect()
  await ended
  assert.is(await redis.get(key), 'written')
  await redis.del(key)
})

test.run()
