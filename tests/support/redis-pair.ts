import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startRedisServer } from '@millrace/local/cloud/redis-server.ts'
import { Redis } from 'ioredis'
import { startTcpProxy } from './tcp-proxy.ts'
import { until } from './until.ts'

export type RedisPair = Awaited<ReturnType<typeof startRedisPair>>

/** Starts a primary and its replica, and a proxy whose address leads to the primary. */
export async function startRedisPair() {
  const directory = await mkdtemp(join(tmpdir(), 'millrace-pair-'))
  const [first, second] = await Promise.all(
    ['first', 'second'].map((name) => startRedisServer({ directory: join(directory, name) })),
  )
  if (!first || !second) throw new Error('The pair needs two servers.')
  const primary = new Redis(first.url)
  const replica = new Redis(second.url)
  await replica.replicaof('127.0.0.1', first.port)
  await until(async () => /master_link_status:up/.test(await replica.info('replication')))
  const proxy = await startTcpProxy(first.port)
  return {
    /** The address that leads to the primary, also after a failover. */
    url: proxy.url,
    /** The replica's own address. */
    replicaUrl: second.url,
    /**
     * Makes the replica the primary, and the primary its replica. Connections to the old primary are kept.
     *
     * @param beforeMove runs while the address still leads to the old primary, as it does until DNS has changed
     */
    async failOver(beforeMove?: () => Promise<void>): Promise<void> {
      await primary.wait(1, 0)
      await replica.replicaof('NO', 'ONE')
      await primary.replicaof('127.0.0.1', second.port)
      await beforeMove?.()
      proxy.moveTo(second.port)
    },
    async close(): Promise<void> {
      proxy.close()
      primary.disconnect()
      replica.disconnect()
      await Promise.all([first.close(), second.close()])
      await rm(directory, { recursive: true })
    },
  }
}
