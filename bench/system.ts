import { randomBytes } from 'node:crypto'
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { S3Client } from '@aws-sdk/client-s3'
import { startLocalCloud } from '@millrace/local/cloud/local-cloud.ts'
import { startRedisServer } from '@millrace/local/cloud/redis-server.ts'
import { provideProgram, redisProgram } from '@millrace/local/setup/system-programs.ts'
import { Redis } from 'ioredis'
import { type ServerProcess, startServerProcess } from './server-process.ts'

const publicOrigin = 'http://localhost:3000'

export type System = Awaited<ReturnType<typeof startSystem>>

/**
 * Starts a whole system for a benchmark: Redis, S3 and SQS of their own, one API and one worker as separate processes.
 * Requests tell their address in `X-Forwarded-For`. Rate limits are off, so that an attack takes seconds, not hours.
 *
 * @param checkout the directory of the version that runs
 * @param environment variables of API and worker
 */
export async function startSystem(checkout: string, environment: Record<string, string>) {
  const directory = await mkdtemp(join(tmpdir(), 'millrace-limits-'))
  const closers: (() => unknown)[] = [() => rm(directory, { recursive: true, force: true })]
  const close = async () => {
    for (const closePart of closers.splice(0).reverse()) await closePart()
  }
  try {
    const redisServer = await startRedisServer({
      directory: join(directory, 'redis'),
      program: await provideProgram(redisProgram, console.log),
    })
    closers.push(redisServer.close)
    const redis = new Redis(redisServer.url)
    closers.push(() => redis.disconnect())
    const cloud = await startLocalCloud({ directory, redisUrl: redisServer.url, origins: [publicOrigin] })
    closers.push(cloud.close)
    const settings = {
      ...cloud.environment,
      PUBLIC_ORIGIN: publicOrigin,
      TRUSTED_PROXIES: '127.0.0.1',
      SESSION_KEYS: randomBytes(32).toString('base64'),
      ANONYMOUS_UPLOADS: 'on',
      RATE_LIMIT_PER_MINUTE: '0',
      RATE_LIMIT_PER_ADDRESS_PER_MINUTE: '0',
      // The benchmark runs on the same cores.
      MAX_EVENT_LOOP_DELAY_MS: '0',
      LOG_LEVEL: 'fatal',
      ...environment,
    }
    const start = async (tier: string, portVariable: string): Promise<ServerProcess> => {
      const file = join(checkout, `packages/${tier}/src/main.ts`)
      const server = await startServerProcess(file, settings, { portVariable })
      closers.push(server.close)
      return server
    }
    const api = await start('api', 'PORT')
    const worker = await start('worker', 'HEALTH_PORT')
    const { AWS_REGION: region, AWS_ENDPOINT_URL_S3: endpoint } = cloud.environment
    const s3 = new S3Client({
      region,
      endpoint,
      credentials: {
        accessKeyId: cloud.environment.AWS_ACCESS_KEY_ID,
        secretAccessKey: cloud.environment.AWS_SECRET_ACCESS_KEY,
      },
    })
    closers.push(() => s3.destroy())

    return {
      url: `http://127.0.0.1:${api.port}`,
      port: api.port,
      api,
      worker,
      /** What connects a service to this S3, SQS and Redis. */
      cloud: cloud.environment,
      s3,
      redisUrl: redisServer.url,
      redisPid: Number(/^process_id:(\d+)/m.exec(await redis.info('server'))?.[1]),
      /** Returns the memory that Redis' data takes, in bytes. */
      async redisBytes(): Promise<number> {
        return Number(/^used_memory:(\d+)/m.exec(await redis.info('memory'))?.[1])
      },
      /** Returns the size of all objects, versions and parts in S3, in bytes. */
      s3Bytes: () => bytesBelow(join(directory, 's3/content')),
      close,
    }
  } catch (error) {
    await close()
    throw error
  }
}

async function bytesBelow(directory: string): Promise<number> {
  const names = await readdir(directory, { recursive: true })
  const sizes = names.map(async (name) => {
    // A file may be deleted meanwhile.
    const found = await stat(join(directory, name)).catch(() => undefined)
    return found?.isFile() ? found.size : 0
  })
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0)
}
