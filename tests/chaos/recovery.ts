import type { FaultKind } from './faults.ts'
import type { Evidence } from './judge.ts'
import { numberOf } from './judge.ts'
import type { InjectedFault } from './run-chaos.ts'

/** An upload that S3 has. `finishedAtMs`: when S3 got its last manifest, infinite without one. In ms since 1970. */
export type SeenUpload = { startedAtMs: number; finishedAtMs: number }

export type Recovery = {
  kind: FaultKind
  injected: number
  /** Faults after which every upload finished that they were the last to meet. */
  recovered: number
  /** From the end of a fault to the end of the last of these uploads, in ms. */
  longestMs: number
}

/** How long after its begin an upload that never finishes counts as met by a fault, in ms. */
const sendingMs = 10_000

/**
 * Computes how long it took to recover from each kind of fault. An upload counts for the last fault that it met: the one
 * that ended last of those that were active between the upload's begin and its end. An upload that never finished counts
 * for all faults that were active while it was sent.
 */
export function recoveries(faults: readonly InjectedFault[], uploads: readonly SeenUpload[]): Recovery[] {
  const longest = new Map<InjectedFault, number>(faults.map((fault) => [fault, 0]))
  for (const { startedAtMs, finishedAtMs } of uploads) {
    const isFinished = Number.isFinite(finishedAtMs)
    const untilMs = isFinished ? finishedAtMs : startedAtMs + sendingMs
    const met = faults.filter((fault) => fault.startedAtMs <= untilMs && fault.endedAtMs >= startedAtMs)
    const last = met.reduce((latest, fault) => Math.max(latest, fault.endedAtMs), 0)
    for (const fault of met) {
      if (isFinished && fault.endedAtMs !== last) continue
      longest.set(fault, Math.max(longest.get(fault) ?? 0, finishedAtMs - fault.endedAtMs))
    }
  }
  return [...Map.groupBy(faults, ({ kind }) => kind)].map(([kind, ofKind]) => {
    const times = ofKind.map((fault) => longest.get(fault) ?? 0).filter(Number.isFinite)
    return { kind, injected: ofKind.length, recovered: times.length, longestMs: Math.max(0, ...times) }
  })
}

/** Returns the uploads of a run that S3 has. */
export function seenUploads({ sent, ledger }: Pick<Evidence, 'sent' | 'ledger'>): SeenUpload[] {
  const startedAt = new Map(sent.map(({ number, startedAtMs }) => [number, startedAtMs]))
  return [...ledger.uploads.values()].flatMap((upload) => {
    const startedAtMs = startedAt.get(numberOf(upload) ?? -1)
    const [latest] = upload.manifests
    if (startedAtMs === undefined || (!latest && !upload.current)) return []
    return [{ startedAtMs, finishedAtMs: latest?.version.lastModifiedMs ?? Number.POSITIVE_INFINITY }]
  })
}
