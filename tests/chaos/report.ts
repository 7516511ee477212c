import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Evidence, Violation } from './judge.ts'
import { numberOf } from './judge.ts'
import type { ChaosRun, InjectedFault } from './run-chaos.ts'

/** How many violations of a kind, and log lines of an upload, are printed. */
const shown = { violations: 8, logLines: 6 }

/** A finished upload: when its client began and when S3 got its last manifest, in ms since 1970. */
type Finished = { startedAtMs: number; finishedAtMs: number }

/**
 * Returns how long after the end of a fault the last upload finished that the fault may have met: one that was begun before
 * the fault ended and was not finished when it began. Other faults that came meanwhile count too.
 * @returns ms; undefined if one of them is not finished
 */
export function recoveryOf(fault: InjectedFault, uploads: readonly Finished[]): number | undefined {
  const met = uploads.filter(
    ({ startedAtMs, finishedAtMs }) => startedAtMs < fault.endedAtMs && finishedAtMs > fault.startedAtMs,
  )
  const last = met.reduce((latest, { finishedAtMs }) => Math.max(latest, finishedAtMs), 0)
  return Number.isFinite(last) ? Math.max(0, last - fault.endedAtMs) : undefined
}

function finishedUploads({ sent, ledger }: Evidence): Finished[] {
  const startedAt = new Map(sent.map(({ number, startedAtMs }) => [number, startedAtMs]))
  return [...ledger.uploads.values()].flatMap((upload) => {
    const startedAtMs = startedAt.get(numberOf(upload) ?? -1)
    const [latest] = upload.manifests
    if (startedAtMs === undefined || (!latest && !upload.current)) return []
    return [{ startedAtMs, finishedAtMs: latest?.version.lastModifiedMs ?? Number.POSITIVE_INFINITY }]
  })
}

/** Returns the report of a run as lines. */
export function report(run: ChaosRun): string[] {
  const { evidence, violations, injected } = run
  const finished = finishedUploads(evidence)
  const lines = ['', 'Fault               injected  recovered  longest recovery']
  for (const [kind, faults] of Map.groupBy(injected, (fault) => fault.kind)) {
    const recoveries = faults.map((fault) => recoveryOf(fault, finished))
    const recovered = recoveries.filter((ms) => ms !== undefined)
    const longest = recovered.length < faults.length ? 'not finished' : seconds(Math.max(...recovered))
    lines.push(
      `${kind.padEnd(18)}  ${pad(faults.length, 8)}  ${pad(recovered.length, 9)}  ${longest.padStart(16)}`,
    )
  }
  const { sent, ledger, redis } = evidence
  const outcomes = countBy([...ledger.uploads.values()], ({ manifests }) => manifests[0]?.content.outcome)
  const erasures = countBy(sent, ({ erasure }) => erasure?.answer)
  lines.push(
    '',
    `Uploads: ${sent.length} sent, ${sent.filter(({ accepted }) => accepted).length} accepted; in S3: ${outcomes}.`,
    `Erasures: ${erasures || 'none'}.`,
    `Clients that gave up: ${countBy(sent, ({ refusal }) => refusal) || 'none'}.`,
    `Server errors that clients met: ${serverErrors(run) || 'none'}.`,
    `Redis: ${seconds(0) && Math.round(redis.usedBytes / 1024)} KiB, before ${Math.round(redis.baseBytes / 1024)} KiB, of this ${Math.round(redis.expiringBytes / 1024)} KiB in keys that expire.`,
    `Keys: ${Object.entries(redis.counts)
      .map(([kind, count]) => `${kind} ${count}`)
      .join(', ')}.`,
    `Everything finished ${run.settled ? seconds(run.settledAtMs - run.lastFaultMs) : 'not within the limit'} after the last fault.`,
    '',
  )
  for (const [kind, found] of Map.groupBy(violations, (violation) => violation.kind)) {
    lines.push(`✘ ${kind}: ${found.length}`)
    for (const violation of found.slice(0, shown.violations)) lines.push(...describe(violation, run))
  }
  const verdict =
    violations.length === 0
      ? '✔ No violation.'
      : `✘ ${violations.length} violations. The evidence is in ${run.directory}.`
  lines.push(verdict, `Seed ${run.seed}, ${seconds(Date.now() - run.startedAtMs)}. Logs: ${run.logDirectory}`)
  return lines
}

function describe({ id, number, sentence }: Violation, run: ChaosRun): string[] {
  const upload = run.evidence.sent.find((sent) => sent.number === number)
  const sentText = upload
    ? ` [${upload.way}, ${upload.file.kind}, begun ${seconds(upload.startedAtMs - run.startedAtMs)}, accepted ${
        upload.accepted ? seconds(upload.accepted.atMs - run.startedAtMs) : 'never'
      }${upload.erasure ? `, DELETE ${seconds(upload.erasure.askedAtMs - run.startedAtMs)}: ${upload.erasure.answer}` : ''}]`
    : ''
  const logLines = id === undefined ? [] : linesAbout(id, run.logDirectory)
  return [`  ${id ?? ''} ${sentence}${sentText}`, ...logLines.map((line) => `      ${line}`)]
}

/** Returns the last lines about an upload in the logs of all services, in the order of their times. */
function linesAbout(id: string, logDirectory: string): string[] {
  return readdirSync(logDirectory)
    .flatMap((name) => readFileSync(join(logDirectory, name), 'utf8').split('\n'))
    .filter((line) => line.includes(id))
    .map((line) => line.slice(0, 240))
    .slice(-shown.logLines)
}

function serverErrors({ responses }: ChaosRun): string {
  return [...responses]
    .filter(([name]) => / (?:5\d\d|none)$/.test(name))
    .map(([name, count]) => `${name}: ${count}`)
    .join(', ')
}

function countBy<Item>(items: readonly Item[], kindOf: (item: Item) => string | undefined): string {
  const counts = new Map<string, number>()
  for (const item of items) {
    const kind = kindOf(item)
    if (kind !== undefined) counts.set(kind, (counts.get(kind) ?? 0) + 1)
  }
  return [...counts].map(([kind, count]) => `${count} ${kind}`).join(', ')
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`
}

function pad(value: number, width: number): string {
  return String(value).padStart(width)
}
