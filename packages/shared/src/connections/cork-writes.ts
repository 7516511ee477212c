import type { Redis } from 'ioredis'

/**
 * Makes a connection, and its duplicates, send the commands of one turn of the event loop with one write. ioredis writes each
 * command by itself, and the system call of a write costs more than everything else about a short command.
 *
 * The commands stay single ones, unlike those of a pipeline: each is answered, fails and is sent again by itself.
 */
export function corkWrites(redis: Redis): Redis {
  const send = redis.sendCommand.bind(redis)
  const duplicate = redis.duplicate.bind(redis)
  let corked: Redis['stream'] | undefined

  redis.sendCommand = (command, stream) => {
    const socket = redis.stream
    // There is none before the first connection. After another one, the socket is another.
    if (socket && socket !== corked) {
      corked = socket
      socket.cork()
      setImmediate(() => {
        corked = undefined
        socket.uncork()
      })
    }
    return send(command, stream)
  }
  redis.duplicate = (override) => corkWrites(duplicate(override))
  return redis
}
