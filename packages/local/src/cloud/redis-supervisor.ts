import { join } from 'node:path'
import { provideProgram, redisProgram } from '../setup/system-programs.ts'
import { checkRedis, startRedisServer } from './redis-server.ts'

/**
 * Provides Redis: checks the one that REDIS_URL names, or installs where needed, starts and keeps running
 * one of our own under the data directory.
 * @returns its URL; `failed`, which rejects when it cannot be started again; and `close()`
 * @throws StartError when there is no Redis to be had
 */
export async function superviseRedis(options: {
  directory: string
  redisUrl: string | undefined
  say: (line: string) => void
}) {
  const { say } = options
  if (options.redisUrl) {
    await checkRedis(options.redisUrl)
    return { url: options.redisUrl, failed: new Promise<never>(() => {}), close: async () => {} }
  }
  const program = await provideProgram(redisProgram, say)
  const directory = join(options.directory, 'redis')
  let server = await startRedisServer({ directory, program })
  const { url, port } = server
  let closing = false

  const keepRunning = async () => {
    for (;;) {
      await server.ended
      if (closing) return new Promise<never>(() => {})
      say('Redis ended; starting it again.')
      server = await startRedisServer({ directory, program, port })
      if (closing) await server.close()
    }
  }
  const failed = keepRunning()
  // It is for whoever waits; nobody waiting is not an error of its own.
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
