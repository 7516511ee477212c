import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { startRedisServer } from '@millrace/local/cloud/redis-server.ts'
import { Redis } from 'ioredis'
import { createRedisProxy } from './redis-proxy.ts'

type Node = {
  directory: string
  port: number
  server: Awaited<ReturnType<typeof startRedisServer>>
  admin: Redis
}

export type RedisPair = Awaited<ReturnType<typeof startRedisPair>>

/**
 * Starts a Redis primary with a replica, and the proxy through which services reach the primary.
 * @param options.program path of the Redis server
 */
export async function startRedisPair(options: { directory: string; program: string }) {
  const { program } = options
  const start = async (name: string): Promise<Node> => {
    const directory = join(options.directory, name)
    const server = await startRedisServer({ directory, program })
    const admin = new Redis(server.url, { maxRetriesPerRequest: null })
    admin.on('error', () => undefined)
    return { directory, port: server.port, server, admin }
  }
  let primary = await start('redis-a')
  let replica = await start('redis-b')
  const proxy = createRedisProxy(primary.port)
  await follow(replica, primary)

  const pair = {
    listen: proxy.listen,
    /** A connection to the current primary that no fault of the proxy reaches. */
    admin: () => primary.admin,

    /** Deletes everything, as an operator's mistake does. The replica follows. */
    async flush(): Promise<void> {
      await primary.admin.flushall()
    },

    /** Refuses all writes for a while, as a full Redis does. */
    async fill(ms: number): Promise<void> {
      await primary.admin.config('SET', 'maxmemory', '1000')
      await delay(ms)
      await primary.admin.config('SET', 'maxmemory', '0')
    },

    /** Stops the primary for a while without closing its connections. */
    async stall(ms: number): Promise<void> {
      const pid = await processOf(primary)
      process.kill(pid, 'SIGSTOP')
      await delay(ms)
      process.kill(pid, 'SIGCONT')
    },

    /**
     * Kills the primary and starts it again.
     * @param losesData deletes its data first. The replica then follows the empty primary
     */
    async kill({ losesData }: { losesData: boolean }): Promise<void> {
      process.kill(await processOf(primary), 'SIGKILL')
      await primary.server.ended
      if (losesData) await rm(primary.directory, { recursive: true })
      const { directory, port } = primary
      primary.server = await startRedisServer({ directory, port, program })
    },

    /**
     * Promotes the replica, which lacks what was written since `lagMs` ago: the replica stops following, clients still
     * write to the primary for that time, and then they get to the replica.
     * @param keepsConnections leaves open connections with the demoted primary, which refuses their writes
     */
    async failOver(lagMs: number, { keepsConnections }: { keepsConnections: boolean }): Promise<void> {
      await replica.admin.replicaof('NO', 'ONE')
      await delay(lagMs)
      ;[primary, replica] = [replica, primary]
      proxy.pointTo(primary.port)
      if (!keepsConnections) proxy.cutOthers()
      await follow(replica, primary)
    },

    /** Closes the connections to the demoted primary. @returns those on which writes were refused */
    closeStaleConnections: proxy.cutOthers,

    async close(): Promise<void> {
      await proxy.close()
      for (const { admin, server } of [primary, replica]) {
        admin.disconnect()
        await server.close()
      }
    },
  }
  return pair
}

/** Makes one Redis a replica of another, and waits until it has the same data. */
async function follow(replica: Node, primary: Node): Promise<void> {
  await replica.admin.replicaof('127.0.0.1', primary.port)
  // Redis announces the end of a synchronization to nobody, so its state is polled.
  while (!(await replica.admin.info('replication')).includes('master_link_status:up')) await delay(50)
}

async function processOf({ admin }: Node): Promise<number> {
  const [, pid] = /process_id:(\d+)/.exec(await admin.info('server')) ?? []
  if (pid === undefined) throw new Error('Redis did not report its process id.')
  return Number(pid)
}
