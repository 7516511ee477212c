import type { FaultKind } from './faults.ts'
import type { Evidence } from './judge.ts'
import { numberOf } from './judge.ts'
import type { InjectedFault } from './run-chaos.ts'

/** An upload that S3 has. `finishedAtMs`: when S3 got its last manifest, infinite without one. In ms since 1970. */
export type SeenUpload = { startedAtMs: number; finishedAtMs: number }

export type Recovery = {
  kind: FaultKind
  injected: number
  /** Faults after which all uploads finished that they met. */
  recovered: number
  /** From the end of a fault to the end of the last upload that it met, in ms. Later faults may have delayed it. */
  longestMs: number
  /** The same of the uploads that met no other fault that ended later. */
  longestAloneMs: number
}

/** How long after its begin an upload that never finishes counts as met by a fault, in ms. */
const sendingMs = 10_000

/**
 * Computes how long it took to recover from each kind of fault. A fault meets an upload if it is active between the upload's
 * begin and its end. An upload that never finished was met by the faults that were active while it was sent.
 */
export function recoveries(faults: readonly InjectedFault[], uploads: readonly SeenUpload[]): Recovery[] {
  const longest = new Map(faults.map((fault) => [fault, { any: 0, alone: 0 }]))
  for (const { startedAtMs, finishedAtMs } of uploads) {
    const isFinished = Number.isFinite(finishedAtMs)
    const untilMs = isFinished ? finishedAtMs : startedAtMs + sendingMs
    const met = faults.filter((fault) => fault.startedAtMs <= untilMs && fault.endedAtMs >= startedAtMs)
    const lastEndMs = met.reduce((latest, fault) => Math.max(latest, fault.endedAtMs), 0)
    for (const fault of met) {
      const times = longest.get(fault)
      if (!times) continue
      const ms = finishedAtMs - fault.endedAtMs
      times.any = Math.max(times.any, ms)
      if (isFinished && fault.endedAtMs === lastEndMs) times.alone = Math.max(times.alone, ms)
    }
  }
  return [...Map.groupBy(faults, ({ kind }) => kind)].map(([kind, ofKind]) => {
    const times = ofKind.map((fault) => longest.get(fault) ?? { any: 0, alone: 0 })
    const finished = times.map(({ any }) => any).filter(Number.isFinite)
    return {
      ...{ kind, injected: ofKind.length, recovered: finished.length },
      longestMs: Math.max(0, ...finished),
      longestAloneMs: Math.max(0, ...times.map(({ alone }) => alone)),
    }
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
