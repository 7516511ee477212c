import type { Violation } from './judge.ts'
import { createLogExcerpt } from './log-excerpt.ts'
import { recoveries, seenUploads } from './recovery.ts'
import type { ChaosRun } from './run-chaos.ts'

/** How many violations of a kind, and log lines of an upload, are printed. */
const shown = { violations: 5, logLines: 6 }

/** Returns the report of a run as lines. */
export function report(run: ChaosRun): string[] {
  const { evidence, violations, injected } = run
  const { sent, ledger, redis } = evidence
  const table = recoveries(injected, seenUploads(evidence)).map(({ kind, ...fault }) => {
    const longest = fault.recovered < fault.injected ? 'not all finished' : seconds(fault.longestMs)
    const columns = [String(fault.injected).padStart(8), String(fault.recovered).padStart(9)]
    const times = [longest.padStart(16), seconds(fault.longestAloneMs).padStart(20)]
    return [kind.padEnd(18), ...columns, ...times].join('  ')
  })
  const outcomes = countBy([...ledger.uploads.values()], ({ manifests }) => manifests[0]?.content.outcome)
  const keys = Object.entries(redis.counts).map(([kind, count]) => `${kind} ${count}`)
  const verdict =
    violations.length === 0
      ? '✔ No violation.'
      : `✘ ${violations.length} violations. All of them, and what S3 and Redis have, are in ${run.directory}.`
  return [
    '',
    'Fault               injected  recovered  longest recovery  without later faults',
    ...table,
    '',
    `Uploads: ${sent.length} sent, ${sent.filter(({ accepted }) => accepted).length} accepted; in S3: ${outcomes}.`,
    `Erasures: ${countBy(sent, ({ erasure }) => erasure?.answer)}.`,
    `Clients that gave up: ${countBy(sent, ({ refusal }) => refusal)}.`,
    `Errors after which clients tried again: ${retriedErrors(run)}.`,
    `Redis: ${kibibytes(redis.usedBytes)}, ${kibibytes(redis.baseBytes)} before; keys that expire: ${kibibytes(redis.expiringBytes)}.`,
    `Redis keys: ${keys.join(', ')}.`,
    run.settled
      ? `Everything was finished ${seconds(run.settledAtMs - run.lastFaultMs)} after the last fault.`
      : 'Not everything was finished in time.',
    '',
    ...describeAll(run),
    verdict,
    `Seed ${run.seed}, ${seconds(Date.now() - run.startedAtMs)}. Logs: ${run.logDirectory}`,
  ]
}

function describeAll(run: ChaosRun): string[] {
  if (run.violations.length === 0) return []
  const excerpt = createLogExcerpt(run.logDirectory, run.startedAtMs)
  const byNumber = new Map(run.evidence.sent.map((upload) => [upload.number, upload]))
  const time = (ms: number) => seconds(ms - run.startedAtMs)

  const describe = ({ id, number, sentence }: Violation): string[] => {
    const upload = number === undefined ? undefined : byNumber.get(number)
    const history = upload
      ? [
          `${upload.way}, ${upload.file.kind}, begun at ${time(upload.startedAtMs)}`,
          upload.accepted ? `accepted at ${time(upload.accepted.atMs)}` : 'not accepted',
          ...(upload.refusal ? [`given up: ${upload.refusal}`] : []),
          ...(upload.erasure
            ? [`DELETE at ${time(upload.erasure.askedAtMs)}: ${upload.erasure.answer}`]
            : []),
        ]
      : []
    const lines = id === undefined ? [] : excerpt(id, shown.logLines)
    return [
      `  ${[id, sentence].filter(Boolean).join(' ')}${history.length > 0 ? ` (${history.join(', ')})` : ''}`,
      ...lines.map((line) => `      ${line}`),
    ]
  }
  return [...Map.groupBy(run.violations, ({ kind }) => kind)].flatMap(([kind, found]) => [
    `✘ ${kind}: ${found.length}`,
    ...found.slice(0, shown.violations).flatMap(describe),
  ])
}

function retriedErrors({ retried }: ChaosRun): string {
  return [...retried].map(([name, count]) => `${name}: ${count}`).join(', ') || 'none'
}

function countBy<Item>(items: readonly Item[], kindOf: (item: Item) => string | undefined): string {
  const kinds = items.map(kindOf).filter((kind) => kind !== undefined)
  const counts = [...Map.groupBy(kinds, (kind) => kind)].map(([kind, found]) => `${found.length} ${kind}`)
  return counts.join(', ') || 'none'
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`
}

function kibibytes(bytes: number): string {
  return `${Math.round(bytes / 1024)} KiB`
}
