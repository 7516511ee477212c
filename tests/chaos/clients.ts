import { setTimeout as delay } from 'node:timers/promises'
import type { DecentClient } from './decent-client.ts'
import type { FileKind, Files } from './files.ts'
import type { Owner } from './fleet.ts'
import { inParallel } from './in-parallel.ts'
import type { Random } from './random.ts'
import { authorization, type SendFile } from './send-file.ts'
import { type SentUpload, type Way, ways } from './sent-upload.ts'

/** The share of uploads that are sent in large parts. They take seconds, so they are few. */
const largeShare = 0.01
const largeWays: readonly Way[] = ['multipart', 'tus', 'direct-raw']
const smallWays = ways.filter((way) => way !== 'multipart')
/** The share of requests with an `Idempotency-Key`, where the API reads one. */
const keyShare = 0.6
const keyWays: ReadonlySet<Way> = new Set(['form', 'multipart', 'direct-raw', 'direct-form', 'import'])
const eraseShare = 0.1
const eraseWithinMs = 6_000
const clientsAtOnce = 64

/** An upload that will be sent, and what else happens to it. */
export type PlannedUpload = {
  upload: SentUpload
  /** After the begin of the run, in ms. */
  atMs: number
  isWatched: boolean
  /** How long after its id is known the upload is erased, in ms. */
  eraseAfterMs?: number
}

/** Plans what clients do. All random choices are made here, in one order, so that a seed repeats them. */
export function planUploads(
  random: Random,
  options: { count: number; windowMs: number; owners: readonly Owner[]; files: Files },
): PlannedUpload[] {
  const { count, windowMs, owners, files } = options
  return Array.from({ length: count }, (_, number) => {
    const isLarge = random.chance(largeShare)
    const way = random.pick(isLarge ? largeWays : smallWays)
    const kind: FileKind = 'large'
    const hasKey = random.chance(keyShare) && keyWays.has(way)
    const upload: SentUpload = {
      number,
      owner: random.pick(owners),
      way,
      file: isLarge ? files.make(kind, number) : files.makeRandom(random, number),
      ...(hasKey && { idempotencyKey: `chaos-${number}` }),
      startedAtMs: 0,
      ids: new Set(),
    }
    const eraseAfterMs = random.chance(eraseShare) ? random.between(0, eraseWithinMs) : undefined
    return {
      upload,
      atMs: (number / count) * windowMs,
      isWatched: random.chance(0.5),
      ...(eraseAfterMs !== undefined && { eraseAfterMs }),
    }
  })
}

/** Creates the client that erases uploads. @param deps.onReceipt called when an upload was erased */
export function createEraseUpload(deps: { client: DecentClient; onReceipt: (id: string) => void }) {
  const { client, onReceipt } = deps

  /** Erases an upload after a while, and records what the API answered. */
  return async function eraseUpload(upload: SentUpload, id: string, afterMs: number): Promise<void> {
    await delay(afterMs)
    const erasure: SentUpload['erasure'] = { id, askedAtMs: Date.now(), answer: 'unknown', atMs: 0 }
    upload.erasure = erasure
    const response = await client.send({
      method: 'DELETE',
      url: `/uploads/${id}`,
      headers: authorization(upload),
    })
    erasure.atMs = Date.now()
    if (response?.status === 200) {
      erasure.answer = 'receipt'
      onReceipt(id)
    }
    if (response?.status === 404) erasure.answer = 'not-found'
  }
}

/**
 * Sends all planned uploads at their times, or later if too many clients are still sending: a system that is slow gets
 * less to do, as from a pool of clients.
 * @returns when the last client has ended
 */
export async function sendAll(planned: readonly PlannedUpload[], sendFile: SendFile): Promise<void> {
  const startedAtMs = Date.now()
  await inParallel(clientsAtOnce, planned, async ({ upload, atMs }) => {
    const waitMs = startedAtMs + atMs - Date.now()
    if (waitMs > 0) await delay(waitMs)
    upload.startedAtMs = Date.now()
    await sendFile(upload)
  })
}
