import { createServer } from 'node:http'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { GetObjectCommand, HeadObjectCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3'
import { Worker } from 'bullmq'
import { Redis } from 'ioredis'
import { bareQueue } from './bare-queue.ts'
import { renderCascade } from './render-bare.ts'

// The least that a worker of the same libraries does: a job of BullMQ, the file from S3, variants and a manifest to S3, one
// look whether the upload was erased. No checks, no isolation, no records, no progress, no events of S3, and no retries.

const bucket = process.env['BUCKET'] ?? ''
const s3 = new S3Client({ forcePathStyle: true, cacheMiddleware: true })
const redis = new Redis(process.env['REDIS_URL'] ?? '', { maxRetriesPerRequest: null })

const worker = new Worker<{ key: string; isImage: boolean }>(
  bareQueue,
  async ({ data: { key, isImage } }) => {
    const { Body: body } = await s3.send(new GetObjectCommand({ Bucket: bucket, Key: key }))
    if (!(body instanceof Readable)) throw new Error('S3 sent no body.')
    const file = await buffer(body)
    const variants = isImage ? await renderCascade(file) : []
    const put = (name: string, content: Buffer | string) =>
      s3.send(new PutObjectCommand({ Bucket: bucket, Key: `bare/${key}/${name}`, Body: content }))
    await Promise.all(variants.map((variant, index) => put(`variant-${index}`, variant)))
    await put('manifest', JSON.stringify({ key, bytes: file.length, variants: variants.length }))
    await s3.send(new HeadObjectCommand({ Bucket: bucket, Key: `bare/${key}/erased` })).catch(() => undefined)
  },
  { connection: redis, concurrency: Number(process.env['CONCURRENCY']) },
)

const server = createServer((_, response) => void response.end())
server.listen(Number(process.env['PORT']), '127.0.0.1')
process.once('SIGTERM', async () => {
  server.close()
  await worker.close()
  redis.disconnect()
  s3.destroy()
})
