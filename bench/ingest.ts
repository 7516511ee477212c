import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { Agent } from 'node:http'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { startRedisServer } from '@millrace/local/cloud/redis-server.ts'
import { type Contest, measure } from './measure.ts'
import { printTable } from './print-table.ts'
import { requestSessions } from './request-sessions.ts'
import { type Shipment, sendFile } from './send-files.ts'
import { type ServerProcess, startServerProcess } from './server-process.ts'
import { signParts } from './sign-parts.ts'

// What it costs to take files in, beside what people would use instead: all of them as processes of their own,
// each on one core, in front of an S3 that forgets what it is sent, taking turns, so that whatever else the
// machine does hits all alike. What counts is the processor time of the server itself, in the kernel as well;
// client, S3 and Redis are left out. Nobody logs requests.

const full = {
  rounds: 7,
  largeMiB: 256,
  small: { sizeMiB: 5, count: 64, atOnce: 8 },
  sessions: { connections: 50, requests: 40_000 },
  partBatches: 300,
}
const quick = {
  rounds: 3,
  largeMiB: 128,
  small: { sizeMiB: 5, count: 32, atOnce: 8 },
  sessions: { connections: 50, requests: 40_000 },
  partBatches: 50,
}
const pathOf = { raw: '/upload?filename=a.bin', form: '/upload?filename=a.bin', tus: '/tus/' }
const unlimited = '1000000000'

/** @param options.quick fewer rounds of less, for a look */
export async function run(options: { quick: boolean }): Promise<void> {
  const { rounds, largeMiB, small, sessions, partBatches } = options.quick ? quick : full
  const directory = await mkdtemp(join(tmpdir(), 'millrace-bench-'))
  const opened: { close(): Promise<void> }[] = []
  const agent = new Agent({ keepAlive: true })

  async function start(
    file: string,
    environment: Record<string, string>,
    onOneCore = true,
  ): Promise<ServerProcess> {
    const path = fileURLToPath(import.meta.resolve(file))
    const server = await startServerProcess(path, environment, { onOneCore })
    opened.push(server)
    return server
  }

  try {
    const redis = await startRedisServer({ directory })
    opened.push(redis)
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
    }
    const rates = (limit: string) => ({
      RATE_LIMIT_PER_MINUTE: limit,
      RATE_LIMIT_PER_ADDRESS_PER_MINUTE: limit,
    })
    const millrace = await start('@millrace/api/main.ts', { ...settings, ...rates('0') })
    // As new as what it is compared with: the other one has taken in files by then.
    const asked = await start('@millrace/api/main.ts', { ...settings, ...rates('0') })
    const counting = await start('@millrace/api/main.ts', { ...settings, ...rates(unlimited) })
    const multer = await start('./alternatives/express-multer-s3.js', environment)
    const expressSession = await start('./alternatives/express-session.js', environment)

    const large = (server: ServerProcess, as: Shipment['as']) => async () => {
      await sendFile({ port: server.port, path: pathOf[as], as, sizeMiB: largeMiB, agent })
      return largeMiB
    }
    const many = (server: ServerProcess, as: Shipment['as']) => async () => {
      const { sizeMiB, count, atOnce } = small
      const sendSome = async () => {
        for (let sent = 0; sent < count / atOnce; sent++) {
          await sendFile({ port: server.port, path: pathOf[as], as, sizeMiB, agent })
        }
      }
      await Promise.all(Array.from({ length: atOnce }, sendSome))
      return sizeMiB * count
    }
    const ask = (server: ServerProcess) => () => requestSessions({ port: server.port, ...sessions })

    const files = (name: string, run: typeof large): Contest => ({
      name,
      note: 'Express keeps no owner, record or job of a file, sets no limits, and does not ask S3 whether it arrived.',
      unit: 'MiB per CPU second',
      baseline: {
        name: 'express + multer + multer-s3 (form-data)',
        server: multer,
        run: run(multer, 'form'),
      },
      entries: [
        { name: 'POST /upload, form-data', server: millrace, run: run(millrace, 'form'), goal: 1.6 },
        { name: 'POST /upload, raw body', server: millrace, run: run(millrace, 'raw'), goal: 3 },
        { name: 'tus, in one request', server: millrace, run: run(millrace, 'tus'), goal: 1.6 },
      ],
    })
    const contests: Contest[] = [
      files(`One file of ${largeMiB} MiB`, large),
      files(`${small.count} files of ${small.sizeMiB} MiB, ${small.atOnce} at once`, many),
      {
        name: `A session's views counted, ${sessions.connections} connections`,
        note: 'Both load, count, save and answer. Express checks no load, slow body or cross-site page, and sets no headers.',
        unit: 'requests per CPU second',
        baseline: {
          name: 'express-session + connect-redis',
          server: expressSession,
          run: ask(expressSession),
        },
        entries: [
          { name: 'GET /session', server: asked, run: ask(asked), goal: 3 },
          { name: 'GET /session, rate limits on', server: counting, run: ask(counting) },
        ],
      },
    ]
    process.stdout.write(`Node ${process.version}, ${cpus().length} × ${cpus()[0]?.model ?? 'CPU'}\n`)
    for (const contest of contests) printTable(contest, await measure(contest, rounds))

    const perBatchMs = await signParts(millrace, partBatches)
    process.stdout.write(
      `\nPOST /uploads/{id}/parts, 100 parts signed, the whole request: ${perBatchMs.toFixed(2)} ms CPU ` +
        `(goal: at most 4) ${perBatchMs <= 4 ? '✔' : '✘'}\n`,
    )
  } finally {
    agent.destroy()
    for (const one of opened.reverse()) await one.close()
    await rm(directory, { recursive: true, force: true })
  }
}
