import { type ChildProcess, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { EventEmitter, once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { GetObjectCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3'
import { PurgeQueueCommand, SendMessageCommand, SQSClient } from '@aws-sdk/client-sqs'
import { startLocalCloud } from '@millrace/local/cloud/local-cloud.ts'
import {
  connectBlockingRedis,
  connectRedis,
  connectStreamingS3,
} from '@millrace/shared/connections/connections.ts'
import { createUploadQueue } from '@millrace/shared/jobs/process-upload-job.ts'
import { createManifests } from '@millrace/shared/ledger/manifest.ts'
import { originalKey } from '@millrace/shared/ledger/object-keys.ts'
import { toObjectMetadata } from '@millrace/shared/ledger/object-metadata.ts'
import type { Environment } from '@millrace/shared/service/environment.ts'
import { createLog } from '@millrace/shared/service/log.ts'
import { isFinished, Upload, type UploadIntent } from '@millrace/shared/uploads/upload.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import { newUploadId } from '@millrace/shared/uploads/upload-id.ts'
import { createUploadRecords } from '@millrace/shared/uploads/upload-records.ts'
import Type from 'typebox'
import { Compile } from 'typebox/compile'

const workerProgram = fileURLToPath(import.meta.resolve('@millrace/worker/main.ts'))
const change = Compile(Type.Object({ upload: Upload }))
const erasure = Compile(Type.Object({ erased: Type.String() }))

export type WorkerFleet = Awaited<ReturnType<typeof startWorkerFleet>>

/**
 * Starts a separate local cloud for the test. The test then starts workers on it, in this process or as processes that
 * can be killed.
 *
 * @param options.environment replaces variables of the workers
 * @param options.redisUrl a separate Redis; default: the Redis of all tests
 * @param options.acceptsReplicas lets the test copy objects here from another region
 */
export async function startWorkerFleet(
  options: { environment?: Environment; redisUrl?: string; acceptsReplicas?: boolean } = {},
) {
  const { acceptsReplicas = false } = options
  const redisUrl = options.redisUrl ?? process.env['REDIS_URL']
  if (!redisUrl) throw new Error('REDIS_URL is not set: run the tests through tests/run.ts.')
  const directory = await mkdtemp(join(tmpdir(), 'millrace-worker-'))
  const cloud = await startLocalCloud({
    directory,
    redisUrl,
    origins: ['http://localhost:3000'],
    acceptsReplicas,
  })
  const prefix = `test-${randomUUID()}`
  const environment: Environment = {
    ...cloud.environment,
    REDIS_PREFIX: prefix,
    LOG_LEVEL: 'silent',
    WORKER_SLOTS: '2',
    ...options.environment,
  }
  const { AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY } = cloud.environment
  const identity = {
    region: AWS_REGION,
    credentials: { accessKeyId: AWS_ACCESS_KEY_ID, secretAccessKey: AWS_SECRET_ACCESS_KEY },
  }
  const bucket = cloud.environment.BUCKET
  const s3 = new S3Client({ endpoint: cloud.environment.AWS_ENDPOINT_URL_S3, ...identity })
  const streamingS3 = connectStreamingS3({ endpoint: cloud.environment.AWS_ENDPOINT_URL_S3, ...identity })
  const sqs = new SQSClient({ endpoint: cloud.environment.AWS_ENDPOINT_URL_SQS, ...identity })
  const silent = createLog({ level: 'silent', instance: 'test' })
  const redis = connectRedis(redisUrl, silent)
  const records = createUploadRecords({ redis, prefix })
  const changes = await watchChanges(redisUrl, prefix)
  const closers: (() => Promise<void>)[] = []

  const fleet = {
    environment,
    prefix,
    bucket,
    identity,
    redis,
    s3,
    streamingS3,
    sqs,
    records,
    manifests: createManifests({ s3, bucket }),
    queue: createUploadQueue({ redis, prefix }),
    changes,
    /** Stops S3 and SQS. */
    stopCloud: cloud.close,

    /**
     * Starts a worker in this process. Its log is recorded from its `LOG_LEVEL` on, which is `silent` by default.
     * @param options.s3 a separate client for S3
     */
    async startWorker(options: { environment?: Environment; s3?: S3Client } = {}) {
      // Imported here: a test that starts workers as processes needs none of the worker's modules itself.
      const [{ createApp }, { readConfig }] = await Promise.all([
        import('@millrace/worker/app.ts'),
        import('@millrace/worker/config.ts'),
      ])
      const config = readConfig({ ...environment, ...options.environment })
      const recorded = createLogRecorder()
      const log = createLog({ level: config.logLevel, instance: config.instance }, { write: recorded.add })
      const blockingRedis = connectBlockingRedis(redisUrl, log)
      const app = createApp(config, log, { redis, blockingRedis, s3: options.s3 ?? s3, streamingS3, sqs })
      await app.start()
      let closing: Promise<void> | undefined
      const close = () => {
        closing ??= app.close().then(() => blockingRedis.disconnect())
        return closing
      }
      closers.push(close)
      return { close, oldestJob: app.oldestJob, log: recorded }
    },

    /** Starts a worker as a process, without waiting until it has started. */
    startProcess(variables: Environment = {}) {
      const child = spawn(process.execPath, [workerProgram], {
        env: { ...process.env, ...environment, LOG_LEVEL: 'info', ...variables },
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      // Not `exit`, which may be emitted before the last lines of the log.
      const exited = once(child, 'close')
      closers.push(async () => {
        if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL')
        await exited
      })
      return {
        log: watchLog(child),
        pid: child.pid,
        kill: (signal: NodeJS.Signals) => child.kill(signal),
        /** @returns exit code or signal */
        async exit(): Promise<unknown> {
          const [code, signal]: unknown[] = await exited
          return code ?? signal
        },
      }
    },

    /** Starts a worker as a process and waits until it has started. */
    async spawnWorker(variables: Environment = {}) {
      const worker = fleet.startProcess(variables)
      await worker.log.until((line) => line['event'] === 'started')
      return worker
    },

    /** Puts an original into S3 like a client. S3 sends the event. */
    async arrive(
      bytes: Uint8Array,
      properties: Partial<UploadIntent & UploadAddress> = {},
    ): Promise<UploadAddress> {
      const { owner = 's-tester', id = newUploadId(), ...declared } = properties
      const intent = intentOf(bytes, declared)
      await s3.send(
        new PutObjectCommand({
          Bucket: bucket,
          Key: originalKey({ owner, id }),
          Body: bytes,
          ContentType: intent.contentType,
          Metadata: toObjectMetadata(intent),
        }),
      )
      return { owner, id }
    },

    /** Creates the record that the API creates before the bytes are sent. */
    async announce(
      bytes: Uint8Array,
      intent: Partial<UploadIntent> = {},
      owner = 's-tester',
    ): Promise<UploadAddress> {
      const address = { owner, id: newUploadId() }
      const now = new Date().toISOString()
      await records.create({
        ...address,
        state: 'awaiting',
        intent: intentOf(bytes, intent),
        findings: {},
        variants: [],
        createdAt: now,
        updatedAt: now,
      })
      return address
    },

    /** Waits until the upload is finished, or is in the given state, and returns it. */
    async finished({ id }: UploadAddress, state?: Upload['state']): Promise<Upload> {
      return changes.until(id, (upload) => (state ? upload.state === state : isFinished(upload)))
    },

    /** Sends a message to the queue of S3 events. */
    async message(body: string): Promise<void> {
      await sqs.send(
        new SendMessageCommand({ QueueUrl: cloud.environment.EVENTS_QUEUE_URL, MessageBody: body }),
      )
    },

    /** Reads an object from S3. */
    async object(key: string): Promise<Buffer> {
      const { Body } = await s3.send(new GetObjectCommand({ Bucket: bucket, Key: key }))
      return Buffer.from((await Body?.transformToByteArray()) ?? [])
    },

    /** Ends all workers, so that the next test has its own. Processes are killed. */
    async closeWorkers(): Promise<void> {
      for (const close of closers.splice(0).reverse()) await close()
    },

    /** Ends all workers, and forgets all messages and what Redis has. Objects stay. */
    async reset(): Promise<void> {
      await fleet.closeWorkers()
      await sqs.send(new PurgeQueueCommand({ QueueUrl: cloud.environment.EVENTS_QUEUE_URL }))
      const keys = await redis.keys(`${prefix}:*`)
      if (keys.length > 0) await redis.del(keys)
      changes.clear()
    },

    async close() {
      await fleet.closeWorkers()
      await fleet.queue.close()
      changes.close()
      redis.disconnect()
      streamingS3.destroy()
      s3.destroy()
      sqs.destroy()
      await cloud.close()
      await rm(directory, { recursive: true })
    },
  }
  return fleet
}

function intentOf(bytes: Uint8Array, declared: Partial<UploadIntent>): UploadIntent {
  return {
    filename: 'photo.jpg',
    contentType: 'image/jpeg',
    size: bytes.length,
    preset: 'default',
    ...declared,
  }
}

/** Records all published changes of uploads under a prefix. */
async function watchChanges(redisUrl: string, prefix: string) {
  const silent = createLog({ level: 'silent', instance: 'test' })
  const subscriber = connectBlockingRedis(redisUrl, silent)
  const seen: Upload[] = []
  const waiting = new Set<(upload: Upload) => void>()
  const erased = new EventEmitter()
  subscriber.on('pmessage', (_pattern, _channel, text) => {
    const message: unknown = JSON.parse(text)
    if (erasure.Check(message)) {
      erased.emit(message.erased)
      return
    }
    const { upload } = change.Parse(message)
    seen.push(upload)
    for (const listener of waiting) listener(upload)
  })
  await subscriber.psubscribe(`${prefix}:changes:*`)
  return {
    /** Returns the states of an upload, in their order. */
    states: (id: string) => seen.filter((upload) => upload.id === id).map(({ state }) => state),
    /** Waits for the first change that matches, among past and future ones. */
    async until(id: string, matches: (upload: Upload) => boolean): Promise<Upload> {
      const already = seen.find((upload) => upload.id === id && matches(upload))
      if (already) return already
      return new Promise((resolve) => {
        const listener = (upload: Upload) => {
          if (upload.id !== id || !matches(upload)) return
          waiting.delete(listener)
          resolve(upload)
        }
        waiting.add(listener)
      })
    },
    /** Waits until an upload no longer exists. */
    async untilErased(id: string): Promise<void> {
      await once(erased, id)
    },
    /** Removes all changes so far. */
    clear: () => seen.splice(0),
    close: () => subscriber.disconnect(),
  }
}

type LogLine = Record<string, unknown>

/** Records the lines of a log. */
function createLogRecorder() {
  const lines: LogLine[] = []
  const waiting = new Set<(line: LogLine) => void>()
  return {
    lines,
    add(text: string): void {
      const line: LogLine = JSON.parse(text)
      lines.push(line)
      for (const listener of waiting) listener(line)
    },
    /** Waits for the first line that matches, among past and future ones. @param ended rejects when no more will come */
    async until(matches: (line: LogLine) => boolean, ended?: Promise<never>): Promise<LogLine> {
      const already = lines.find(matches)
      if (already) return already
      const { promise, resolve } = Promise.withResolvers<LogLine>()
      const listener = (line: LogLine) => {
        if (!matches(line)) return
        waiting.delete(listener)
        resolve(line)
      }
      waiting.add(listener)
      return ended ? Promise.race([promise, ended]) : promise
    },
  }
}

/** Records the lines of a process's log. */
function watchLog(child: ChildProcess) {
  const { lines, add, until } = createLogRecorder()
  if (!child.stdout) throw new Error('The process has no stdout.')
  createInterface({ input: child.stdout }).on('line', add)
  const ended = once(child, 'close').then(([code, signal]) => {
    throw new Error(`The worker ended (${code ?? signal}): ${JSON.stringify(lines.at(-1))}`)
  })
  // Only whoever waits for a line then is told.
  ended.catch(() => {})
  return { lines, until: (matches: (line: LogLine) => boolean) => until(matches, ended) }
}
