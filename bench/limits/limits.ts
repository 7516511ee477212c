import { resolve } from 'node:path'
import { type System, startSystem } from '../system.ts'
import { type Attack, attacks, type Scale } from './attacks.ts'
import { type HonestResult, startHonestClient } from './honest-client.ts'

const MiB = 1024 ** 2
const full: Scale = { requests: 10_000, streams: 4_000, bodies: 150, bodyMiB: 600, photos: 80 }
const quick: Scale = { requests: 4_000, streams: 2_000, bodies: 60, bodyMiB: 200, photos: 20 }
/** How often Redis and S3 are looked at, in ms. */
const sampleMs = 500

type Outcome = {
  apiBytes: number
  workerBytes: number
  redisBytes: number
  s3Bytes: number
  honest: HonestResult
  waitedMs: number | undefined
}

/**
 * Attacks this version, and another one if given, with what a stranger can send, and prints what each attack made it hold:
 * the growth of memory, of Redis and of S3 to their peak, beside the uploads of an honest client from another address.
 *
 * @param options.before a checkout of another version, with its packages installed
 */
export async function run(options: { quick: boolean; before?: string }): Promise<void> {
  const scale = options.quick ? quick : full
  const checkouts = [
    ...(options.before ? [resolve(options.before)] : []),
    resolve(import.meta.dirname, '../..'),
  ]
  const rows = [['attack', '', 'API', 'worker', 'Redis', 'S3', 'honest p99', 'failed', 'waited']]
  for (const attack of attacks) {
    for (const [index, checkout] of checkouts.entries()) {
      const version = checkouts.length === 1 ? '' : index === 0 ? 'before' : 'after'
      const outcome = await observe(attack, checkout, scale)
      rows.push([version === 'after' ? '' : attack.name, version, ...cells(outcome)])
      process.stdout.write(`${attack.name} ${version}: ${cells(outcome).join(' | ')}\n`)
    }
  }
  process.stdout.write(`\n${table(rows)}\nGrowth in MiB. API and worker: peak of the resident set.\n`)
}

async function observe(attack: Attack, checkout: string, scale: Scale): Promise<Outcome> {
  const system = await startSystem(checkout, attack.environment ?? {})
  try {
    const before = await read(system)
    const stopHonestClient = await startHonestClient(system.url)
    let redisBytes = before.redisBytes
    let s3Bytes = before.s3Bytes
    const sample = async () => {
      const now = await read(system)
      redisBytes = Math.max(redisBytes, now.redisBytes)
      s3Bytes = Math.max(s3Bytes, now.s3Bytes)
    }
    let sampling = Promise.resolve()
    const timer = setInterval(() => {
      sampling = sampling.then(sample)
    }, sampleMs)
    const waitedMs = await attack.run(system, scale)
    clearInterval(timer)
    await sampling
    await sample()
    const honest = await stopHonestClient()
    return {
      apiBytes: system.api.memory().peakBytes - before.apiBytes,
      workerBytes: system.worker.memory().peakBytes - before.workerBytes,
      redisBytes: redisBytes - before.redisBytes,
      s3Bytes: s3Bytes - before.s3Bytes,
      honest,
      waitedMs,
    }
  } finally {
    await system.close()
  }
}

async function read(system: System) {
  const [redisBytes, s3Bytes] = await Promise.all([system.redisBytes(), system.s3Bytes()])
  return {
    redisBytes,
    s3Bytes,
    apiBytes: system.api.memory().bytes,
    workerBytes: system.worker.memory().bytes,
  }
}

function cells({ apiBytes, workerBytes, redisBytes, s3Bytes, honest, waitedMs }: Outcome): string[] {
  const mebibytes = (bytes: number) => (bytes / MiB).toFixed(bytes < 10 * MiB ? 1 : 0)
  return [
    ...[apiBytes, workerBytes, redisBytes, s3Bytes].map(mebibytes),
    `${honest.p99Ms.toFixed(0)} ms`,
    `${honest.failed} of ${honest.sent}`,
    waitedMs === undefined ? '' : `${(waitedMs / 1000).toFixed(1)} s`,
  ]
}

/** Formats rows as a Markdown table, the first one as its head. */
function table(rows: string[][]): string {
  const line = (cellsOfRow: string[]) => `| ${cellsOfRow.join(' | ')} |\n`
  const [head = [], ...body] = rows
  return line(head) + line(head.map(() => '---')) + body.map(line).join('')
}
