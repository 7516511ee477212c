import { randomUUID } from 'node:crypto'
import { redisScript, runScript } from '@millrace/shared/connections/redis-script.ts'
import { Redis } from 'ioredis'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('Redis script')
let redis: Redis

test.before(() => {
  redis = new Redis(process.env['REDIS_URL'] ?? '')
})
test.after(() => redis.disconnect())

test('a script that Redis does not know is sent once, then only its hash', async () => {
  // Unique, so that no other test has made it known.
  const script = redisScript(`return '${randomUUID()}' .. KEYS[1] .. ARGV[1]`)
  assert.equal(await redis.script('EXISTS', script.sha1), [0])
  const first = await runScript(redis, script, 1, 'key', 'value')
  assert.match(String(first), /keyvalue$/)
  assert.equal(await redis.script('EXISTS', script.sha1), [1])
  assert.is(await runScript(redis, script, 1, 'key', 'value'), first)
})

test('an error of the script is thrown, and the script is not run twice', async () => {
  const key = `test-${randomUUID()}`
  const script = redisScript(`redis.call('INCR', KEYS[1]) return redis.error_reply('ERR a fault')`)
  for (const runs of [1, 2]) {
    const error = await runScript(redis, script, 1, key).catch((thrown: unknown) => thrown)
    assert.instance(error, Error)
    assert.match(String(error), /a fault/)
    assert.is(Number(await redis.get(key)), runs)
  }
  await redis.del(key)
})

test.run()
