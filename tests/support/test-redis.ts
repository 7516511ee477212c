import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startRedisServer } from '@millrace/local/cloud/redis-server.ts'
import { provideProgram, redisProgram } from '@millrace/local/setup/system-programs.ts'

/**
 * Opens the Redis of a run: the server in REDIS_URL, or a new one with a temporary directory.
 *
 * @param print prints the progress of an installation
 * @throws StartError if there is no Redis and none can be installed
 */
export async function openTestRedis(print: (line: string) => void) {
  if (process.env['REDIS_URL']) return { url: process.env['REDIS_URL'], close: async () => {} }
  const program = await provideProgram(redisProgram, print)
  const directory = await mkdtemp(join(tmpdir(), 'millrace-tests-'))
  const server = await startRedisServer({ directory, program })
  const close = async () => {
    await server.close()
    await rm(directory, { recursive: true })
  }
  return { url: server.url, close }
}
