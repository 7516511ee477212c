import { randomUUID } from 'node:crypto'
import { PutObjectCommand, type S3Client } from '@aws-sdk/client-s3'
import { Queue, QueueEvents } from 'bullmq'
import { Redis } from 'ioredis'
import type { SampleFile } from './corpus.ts'

/** The queue of `bare-worker.ts`. */
export const bareQueue = 'bare'

/** Opens the queue of the bare worker. */
export async function openBareQueue(deps: { redisUrl: string; s3: S3Client; bucket: string }) {
  const { redisUrl, s3, bucket } = deps
  const connect = () => new Redis(redisUrl, { maxRetriesPerRequest: null })
  const connections = [connect(), connect()] as const
  const queue = new Queue<{ key: string; isImage: boolean }>(bareQueue, { connection: connections[0] })
  // Each job that is awaited listens to the queue.
  queue.setMaxListeners(0)
  const events = new QueueEvents(bareQueue, { connection: connections[1] })
  await events.waitUntilReady()

  return {
    /** Puts files into S3 and adds a job for each, some at a time, and waits until all are done. */
    async process(files: readonly SampleFile[], { atOnce, isImage }: { atOnce: number; isImage: boolean }) {
      const waiting = [...files]
      const processNext = async () => {
        for (let file = waiting.shift(); file; file = waiting.shift()) {
          const key = `bare-originals/${randomUUID()}`
          await s3.send(new PutObjectCommand({ Bucket: bucket, Key: key, Body: file.bytes }))
          const job = await queue.add(
            'process',
            { key, isImage },
            { removeOnComplete: true, removeOnFail: true },
          )
          await job.waitUntilFinished(events)
        }
      }
      await Promise.all(Array.from({ length: atOnce }, processNext))
    },

    async close(): Promise<void> {
      await events.close()
      await queue.close()
      for (const connection of connections) connection.disconnect()
    },
  }
}
