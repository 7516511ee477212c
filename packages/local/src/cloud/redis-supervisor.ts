import { join } from 'node:path'
import { provideProgram, redisProgram } from '../setup/system-programs.ts'
import { checkRedis } from './check-redis.ts'
import { startRedisServer } from './redis-server.ts'

/**
 * Provides Redis. If REDIS_URL is set, checks that server. Otherwise starts a server under the data directory,
 * installs it first if necessary, and restarts it when it exits.
 * @param options.password of the server that is started
 * @param options.prefix of all keys
 * @returns its URL; `failed`, which rejects if the server cannot be restarted; and `close()`
 * @throws StartError if no Redis is available
 */
export async function superviseRedis(options: {
  directory: string
  redisUrl: string | undefined
  password: string
  prefix: string
  print: (line: string) => void
}) {
  const { print, password } = options
  if (options.redisUrl) {
    await checkRedis(options.redisUrl, options)
    return { url: options.redisUrl, failed: new Promise<never>(() => {}), close: async () => {} }
  }
  const program = await provideProgram(redisProgram, print)
  const directory = join(options.directory, 'redis')
  let server = await startRedisServer({ directory, program, password })
  const { url, port } = server
  let closing = false

  const restartWhenEnded = async () => {
    for (;;) {
      await server.ended
      if (closing) return new Promise<never>(() => {})
      print('Redis exited; restarting it.')
      server = await startRedisServer({ directory, program, password, port })
      if (closing) await server.close()
    }
  }
  const failed = restartWhenEnded()
  // Callers may ignore this promise: without a handler, Node would report an unhandled rejection.
  failed.catch(() => {})

  return {
    url,
    failed,
    async close() {
      closing = true
      await server.close()
    },
  }
}
