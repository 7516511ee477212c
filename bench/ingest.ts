import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { Agent } from 'node:http'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { startRedisServer } from '@millrace/local/cloud/redis-server.ts'
import { provideProgram, redisProgram } from '@millrace/local/setup/system-programs.ts'
import { type Comparison, measure } from './measure.ts'
import { printTable } from './print-table.ts'
import { requestSessions } from './request-sessions.ts'
import { type FileToSend, sendFile } from './send-files.ts'
import { type ServerProcess, startServerProcess } from './server-process.ts'
import { signParts } from './sign-parts.ts'

// Compares the cost of receiving files with common alternatives. Each server is a separate process on one core, with
// an S3 endpoint that discards the bytes. The servers run in turn, so that other load on the machine affects all of
// them equally. The measure is the CPU time of the server process, user and kernel. Client, S3 and Redis are not
// counted. No server logs requests.

const full = {
  rounds: 7,
  largeMiB: 256,
  small: { sizeMiB: 5, count: 64, concurrency: 8 },
  sessions: { connections: 50, requests: 40_000 },
  partBatches: 300,
}
const quick = { ...full, rounds: 3, largeMiB: 128, small: { ...full.small, count: 32 }, partBatches: 50 }
const pathOf = { raw: '/upload?filename=a.bin', form: '/upload?filename=a.bin', tus: '/tus/' }
const unlimited = '1000000000'

/** Runs the benchmark and prints its results. @param options.quick fewer rounds and smaller files */
export async function run(options: { quick: boolean }): Promise<void> {
  const { rounds, largeMiB, small, sessions, partBatches } = options.quick ? quick : full
  const directory = await mkdtemp(join(tmpdir(), 'millrace-bench-'))
  const running: { close(): Promise<void> }[] = []
  const agent = new Agent({ keepAlive: true })

  async function start(
    file: string,
    environment: Record<string, string>,
    onOneCore = true,
  ): Promise<ServerProcess> {
    const path = fileURLToPath(import.meta.resolve(file))
    const server = await startServerProcess(path, environment, { onOneCore })
    running.push(server)
    return server
  }

  try {
    const redis = await startRedisServer({
      directory,
      program: await provideProgram(redisProgram, console.log),
    })
    running.push(redis)
    const s3 = await start('./null-s3.ts', {}, false)
    const environment = {
      AWS_REGION: 'us-east-1',
      AWS_ACCESS_KEY_ID: 'bench',
      AWS_SECRET_ACCESS_KEY: 'bench',
      AWS_ENDPOINT_URL_S3: `http://127.0.0.1:${s3.port}`,
      BUCKET: 'bench',
      REDIS_URL: redis.url,
    }
    const settings = {
      ...environment,
      PUBLIC_ORIGIN: 'http://localhost:3000',
      EVENTS_QUEUE_URL: 'http://127.0.0.1:9/events',
      AWS_ENDPOINT_URL_SQS: 'http://127.0.0.1:9',
      SESSION_KEYS: randomBytes(32).toString('base64'),
      LOG_LEVEL: 'fatal',
      ANONYMOUS_UPLOADS: 'on',
    }
    const rates = (limit: string) => ({
      RATE_LIMIT_PER_MINUTE: limit,
      RATE_LIMIT_PER_ADDRESS_PER_MINUTE: limit,
    })
    const millrace = await start('@millrace/api/main.ts', { ...settings, ...rates('0') })
    // A fresh process for the session benchmark, like the one it is compared with: `millrace` has received files.
    const sessionApi = await start('@millrace/api/main.ts', { ...settings, ...rates('0') })
    const rateLimitedApi = await start('@millrace/api/main.ts', { ...settings, ...rates(unlimited) })
    const multer = await start('./alternatives/express-multer-s3.js', environment)
    const expressSession = await start('./alternatives/express-session.js', environment)

    const sendLarge = (server: ServerProcess, as: FileToSend['as']) => async () => {
      await sendFile({ port: server.port, path: pathOf[as], as, sizeMiB: largeMiB, agent })
      return largeMiB
    }
    const sendSmall = (server: ServerProcess, as: FileToSend['as']) => async () => {
      const { sizeMiB, count, concurrency } = small
      const sendSequentially = async () => {
        for (let sent = 0; sent < count / concurrency; sent++) {
          await sendFile({ port: server.port, path: pathOf[as], as, sizeMiB, agent })
        }
      }
      await Promise.all(Array.from({ length: concurrency }, sendSequentially))
      return sizeMiB * count
    }
    const requestAll = (server: ServerProcess) => () => requestSessions({ port: server.port, ...sessions })

    const files = (name: string, run: typeof sendLarge): Comparison => ({
      name,
      note: 'Express stores no owner, record or job for a file, has no limits, and does not check with S3 that it arrived.',
      unit: 'MiB per CPU second',
      baseline: {
        name: 'express + multer + multer-s3 (form-data)',
        server: multer,
        run: run(multer, 'form'),
      },
      candidates: [
        { name: 'POST /upload, form-data', server: millrace, run: run(millrace, 'form'), goal: 1.6 },
        { name: 'POST /upload, raw body', server: millrace, run: run(millrace, 'raw'), goal: 3 },
        { name: 'tus, in one request', server: millrace, run: run(millrace, 'tus'), goal: 1.6 },
      ],
    })
    const comparisons: Comparison[] = [
      files(`One file of ${largeMiB} MiB`, sendLarge),
      files(`${small.count} files of ${small.sizeMiB} MiB, ${small.concurrency} at once`, sendSmall),
      {
        name: `Session with a view counter, ${sessions.connections} connections`,
        note: 'Both load, increment, save and respond. Express has no checks for overload, slow bodies or cross-site requests, and sets no security headers.',
        unit: 'requests per CPU second',
        baseline: {
          name: 'express-session + connect-redis',
          server: expressSession,
          run: requestAll(expressSession),
        },
        candidates: [
          { name: 'GET /session', server: sessionApi, run: requestAll(sessionApi), goal: 3 },
          { name: 'GET /session, rate limits on', server: rateLimitedApi, run: requestAll(rateLimitedApi) },
        ],
      },
    ]
    process.stdout.write(`Node ${process.version}, ${cpus().length} × ${cpus()[0]?.model ?? 'CPU'}\n`)
    for (const comparison of comparisons) printTable(comparison, await measure(comparison, rounds))

    const perBatchMs = await signParts(millrace, partBatches)
    process.stdout.write(
      `\nPOST /uploads/{id}/parts with 100 parts, whole request: ${perBatchMs.toFixed(2)} ms CPU ` +
        `(goal: at most 4) ${perBatchMs <= 4 ? '✔' : '✘'}\n`,
    )
  } finally {
    agent.destroy()
    for (const part of running.reverse()) await part.close()
    await rm(directory, { recursive: true, force: true })
  }
}
