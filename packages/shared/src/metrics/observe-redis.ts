import type { Redis } from 'ioredis'
import { outcomeOf } from './call-outcome.ts'
import type { CallsOf, RecordCall } from './metrics.ts'

type Command = Parameters<Redis['sendCommand']>[0]

/** Marks commands that are observed. ioredis sends a command again that waited for a connection. */
const observed = Symbol('observed')

/**
 * Records the commands of a connection and of its duplicates (BullMQ makes some) by name: count, outcome, and the time
 * from sending to the reply, including a wait for the connection. Scripts are `evalsha`.
 *
 * It replaces the functions by which ioredis settles a command, since a further promise for each would cost more. Not by
 * ioredis' diagnostics channel, which is one for the whole process.
 */
export function observeRedis(redis: Redis, callsOf: CallsOf): Redis {
  const byName = new Map<string, RecordCall>()
  const send = redis.sendCommand.bind(redis)
  const duplicate = redis.duplicate.bind(redis)

  redis.sendCommand = (command: Command & { [observed]?: true }, stream) => {
    if (!command[observed]) {
      command[observed] = true
      observe(command)
    }
    return send(command, stream)
  }
  redis.duplicate = (override) => observeRedis(duplicate(override), callsOf)
  return redis

  function observe(command: Command): void {
    const { name, resolve, reject } = command
    const record = byName.get(name) ?? recordOf(name)
    const startedAtMs = performance.now()
    command.resolve = (reply) => {
      record('ok', (performance.now() - startedAtMs) / 1000)
      resolve(reply)
    }
    command.reject = (error) => {
      record(outcomeOf(error), (performance.now() - startedAtMs) / 1000)
      reject(error)
    }
  }

  function recordOf(name: string): RecordCall {
    // Names come from our code and from BullMQ's, in either case.
    const record = callsOf('redis', name.toLowerCase())
    byName.set(name, record)
    return record
  }
}
