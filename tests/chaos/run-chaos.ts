import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { originalKey } from '@millrace/shared/ledger/object-keys.ts'
import { startSourceServer } from '../worker/support/source-server.ts'
import { createEraseUpload, type PlannedUpload, planUploads, sendAll } from './clients.ts'
import { createDecentClient } from './decent-client.ts'
import { findClockLibrary } from './fake-clocks.ts'
import { type FaultKind, faults } from './faults.ts'
import { createFiles, fileKinds } from './files.ts'
import { type Fleet, type Owner, startFleet } from './fleet.ts'
import { type Evidence, judge, type Violation, type ViolationKind } from './judge.ts'
import { readLedger } from './ledger.ts'
import { createRandom, type Random } from './random.ts'
import { createReadViews } from './read-views.ts'
import { readRedis, usedMemory } from './redis-evidence.ts'
import { makeSchedule, type ScheduledFault } from './schedule.ts'
import { createSendFile } from './send-file.ts'
import { type SentUpload, ways } from './sent-upload.ts'
import { countMessages, settle } from './settle.ts'
import { createWatchers } from './watchers.ts'

const owners: readonly Owner[] = ['anna', 'ben', 'clara', 'david', 'eva', 'felix'].map((name) => ({
  name,
  key: `mr_chaos-${name}`,
}))

/** How long clients may still try after the last fault, in ms. Those of a slow machine are late. */
const clientGraceMs = 90_000
/** How long watchers, lists and views may take after everything is done, in ms. EventSource waits for 2 s. */
const toldGraceMs = 15_000
const strangerSample = 40
/** How many uploads get a second event while events come twice. */
const doubledEvents = 40

/** What may become true by itself within a few seconds after S3 has everything. */
const transient: ReadonlySet<ViolationKind> = new Set([
  'view-disagrees',
  'list-disagrees',
  'not-told',
  'owner-not-told',
  'erased-visible',
  'jobs-left',
  'messages-left',
])

/** A fault that was injected. Times in ms since 1970. */
export type InjectedFault = {
  kind: FaultKind
  startedAtMs: number
  endedAtMs: number
  note: string | undefined
}

export type ChaosRun = Awaited<ReturnType<typeof runChaos>>

/**
 * Runs the whole system, sends uploads in every way while faults happen, waits until everything is finished, and compares
 * what clients were told with what S3 has.
 *
 * @param options.uploads number of uploads, besides one of each kind and way before the first fault
 * @param options.windowMs the time in which uploads are sent and faults begin
 * @param options.standstillMs after the last fault, how long nothing may get done while something is left to do
 * @param options.limitMs how long everything may take after the last fault
 * @param options.kinds the kinds of faults. `clock-jump` is left out if libfaketime is not installed
 * @param options.environment replaces variables of the services
 */
export async function runChaos(options: {
  uploads: number
  seed: number
  windowMs: number
  standstillMs: number
  limitMs: number
  redisProgram: string
  print: (line: string) => void
  kinds: readonly FaultKind[]
  environment?: NodeJS.ProcessEnv
}) {
  const { seed, windowMs, print } = options
  const startedAtMs = Date.now()
  const directory = await mkdtemp(join(tmpdir(), 'millrace-chaos-'))
  const files = await createFiles()
  const random = createRandom(seed)
  const clockLibrary = options.kinds.includes('clock-jump') ? findClockLibrary() : undefined
  const kinds = options.kinds.filter((kind) => kind !== 'clock-jump' || clockLibrary !== undefined)
  if (kinds.length < options.kinds.length) print("No clock jumps: Debian's libfaketime is not installed.")
  const schedule = makeSchedule(random, { windowMs, kinds })
  const planned = planUploads(random, { count: options.uploads, windowMs, owners, files })
  const calm = planCalmUploads(options.uploads, files)
  const sent = [...planned, ...calm].map(({ upload }) => upload)
  const byNumber = new Map([...planned, ...calm].map((plan) => [plan.upload.number, plan]))
  const receipts = new Set<string>()
  const isErased = (id: string) => receipts.has(id)

  const source = await startSourceServer()
  const fleet = await startFleet({
    directory,
    redisProgram: options.redisProgram,
    owners: [...owners],
    sourcePort: source.port,
    seed,
    environment: options.environment ?? {},
    clockLibrary,
    print,
  })
  const { nextApi } = fleet
  const clientDeadline = new AbortController()
  const watchers = createWatchers({
    nextApi,
    ownerOf: (number) => byNumber.get(number)?.upload.owner.name,
    isErased,
  })
  try {
    // Pauses of clients are not repeatable, so they have a random source of their own.
    const client = createDecentClient({
      nextApi,
      random: createRandom(seed + 3),
      deadline: clientDeadline.signal,
    })
    const eraseUpload = createEraseUpload({ client, onReceipt: (id) => receipts.add(id) })
    const erasing: Promise<void>[] = []
    const sendFile = createSendFile({
      client,
      sourceUrl({ number, file }) {
        const path = `/${number}`
        source.on(path, (_request, response) =>
          response
            .writeHead(200, { 'content-length': file.bytes.length, 'content-type': file.contentType })
            .end(file.bytes),
        )
        return source.url(path)
      },
      onId(upload, id) {
        const plan = byNumber.get(upload.number)
        if (plan?.isWatched) watchers.watchUpload(upload.owner, id)
        if (plan?.eraseAfterMs !== undefined) erasing.push(eraseUpload(upload, id, plan.eraseAfterMs))
      },
    })
    for (const owner of owners) watchers.watchOwner(owner)
    print(`Seed ${seed}: ${options.uploads} uploads, ${schedule.length} faults. Logs: ${fleet.logDirectory}`)

    await sendAll(calm, sendFile)
    const { standstillMs, limitMs } = options
    const calmSettled = await settle(fleet, { isErased, standstillMs, limitMs })
    if (!calmSettled) print('The uploads before the first fault did not finish.')
    const baseBytes = await usedMemory(fleet.redis.admin())
    print(`Before the first fault: ${calm.length} uploads finished.`)

    const recentKeys = () =>
      sent
        .filter(({ ids }) => ids.size > 0)
        .sort((a, b) => b.startedAtMs - a.startedAtMs)
        .slice(0, doubledEvents)
        .flatMap(({ owner, ids }) => [...ids].map((id) => originalKey({ owner: owner.name, id })))
    const sending = sendAll(planned, sendFile)
    const injected = await injectAll(schedule, { fleet, random: createRandom(seed + 4), recentKeys, print })
    const lastFaultMs = Date.now()
    const graceTimer = setTimeout(() => clientDeadline.abort(), clientGraceMs)
    await sending
    await Promise.all(erasing)
    clearTimeout(graceTimer)

    let lastShown = 0
    const settled = await settle(fleet, {
      ...{ isErased, standstillMs, limitMs },
      onProgress({ unfinished, erased, messages, jobs }) {
        if (Date.now() - lastShown < 10_000) return
        lastShown = Date.now()
        const seconds = Math.round((Date.now() - lastFaultMs) / 1000)
        print(
          `${seconds} s after the last fault: ${unfinished} unfinished, ${erased} objects to erase, ${messages} messages, ${jobs} jobs.`,
        )
      },
    })
    const settledAtMs = Date.now()
    const { evidence, violations } = await collect(settledAtMs + toldGraceMs)
    return {
      ...{
        seed,
        directory,
        logDirectory: fleet.logDirectory,
        startedAtMs,
        lastFaultMs,
        settledAtMs,
        settled,
      },
      ...{ injected, evidence, violations, retried: client.retried },
    }

    /** Reads all evidence and judges it, again until nothing can become true by itself. */
    async function collect(untilMs: number): Promise<{ evidence: Evidence; violations: Violation[] }> {
      const readViews = createReadViews({ nextApi })
      const ownerOf = new Map(owners.map((owner) => [owner.name, owner]))
      const ledger = await readLedger(fleet.cloud)
      const addresses = [
        ...[...ledger.uploads.values()].map(({ id, owner }) => ({ id, owner })),
        ...sent.flatMap(({ erasure, owner }) => (erasure ? [{ id: erasure.id, owner: owner.name }] : [])),
      ].flatMap(({ id, owner: name }) => {
        const owner = ownerOf.get(name)
        return owner ? [{ id, owner }] : []
      })
      const strangers = await readViews.views(
        createRandom(seed)
          .shuffled(addresses)
          .slice(0, strangerSample)
          .flatMap(({ id, owner }) =>
            owners
              .filter(({ name }) => name !== owner.name)
              .slice(0, 1)
              .map((other) => ({ id, owner: other })),
          ),
      )
      let disagreeing = addresses
      const views = new Map<string, Evidence['views'] extends ReadonlyMap<string, infer V> ? V : never>()
      for (;;) {
        for (const [id, view] of await readViews.views(disagreeing)) views.set(id, view)
        const lists = new Map<string, Map<string, string>>()
        for (const owner of owners) lists.set(owner.name, await readViews.list(owner))
        const evidence: Evidence = {
          ...{ sent, ledger, views, lists },
          strangers: new Map([...strangers].map(([id, { status }]) => [id, status])),
          told: watchers.uploads,
          toldOwners: watchers.owners,
          leaks: watchers.leaks,
          crashes: fleet.crashes,
          staleServices: fleet.staleServices,
          messages: await countMessages(fleet),
          redis: await readRedis(fleet.redis.admin(), baseBytes),
        }
        const violations = judge(evidence)
        if (!violations.some(({ kind }) => transient.has(kind)) || Date.now() > untilMs) {
          return { evidence, violations }
        }
        const ids = new Set(violations.map(({ id }) => id))
        disagreeing = addresses.filter(({ id }) => ids.has(id))
        await delay(2_000)
      }
    }
  } finally {
    clientDeadline.abort()
    await watchers.close()
    await fleet.close()
    await source.close()
  }
}

/** Plans one upload of each file kind and one in each way, all at once and before any fault. */
function planCalmUploads(
  firstNumber: number,
  files: Awaited<ReturnType<typeof createFiles>>,
): PlannedUpload[] {
  const plan = (index: number, upload: Pick<SentUpload, 'way' | 'file'>): PlannedUpload => ({
    upload: {
      ...upload,
      number: firstNumber + index,
      owner: owners[index % owners.length] ?? { name: '', key: '' },
      startedAtMs: 0,
      ids: new Set(),
    },
    atMs: 0,
    isWatched: true,
  })
  const kinds = fileKinds.filter((kind) => kind !== 'large')
  const byKind = kinds.map((kind, index) =>
    plan(index, { way: 'form', file: files.make(kind, firstNumber + index) }),
  )
  const byWay = ways.map((way, index) => {
    const number = firstNumber + kinds.length + index
    return plan(kinds.length + index, {
      way,
      file: files.make(way === 'multipart' ? 'large' : 'jpeg', number),
    })
  })
  return [...byKind, ...byWay]
}

/** Injects all faults at their times. Faults of the same part of the system wait for each other. */
async function injectAll(
  schedule: readonly ScheduledFault[],
  context: { fleet: Fleet; random: Random; recentKeys: () => string[]; print: (line: string) => void },
): Promise<InjectedFault[]> {
  const beginMs = Date.now()
  const injected: InjectedFault[] = []
  const parts = new Map<string, Promise<void>>()
  for (const { kind, atMs } of schedule) {
    const waitMs = beginMs + atMs - Date.now()
    if (waitMs > 0) await delay(waitMs)
    const part = kind.split('-')[0] ?? kind
    const inject = async () => {
      const startedAtMs = Date.now()
      const note = await faults[kind](context)
      const endedAtMs = Date.now()
      injected.push({ kind, startedAtMs, endedAtMs, note })
      const seconds = ((endedAtMs - startedAtMs) / 1000).toFixed(1)
      context.print(
        `${((startedAtMs - beginMs) / 1000).toFixed(0)} s: ${kind}, ${seconds} s${note ? ` (${note})` : ''}`,
      )
    }
    parts.set(part, (parts.get(part) ?? Promise.resolve()).then(inject))
  }
  await Promise.all(parts.values())
  return injected
}
