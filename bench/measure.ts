import type { ServerProcess } from './server-process.ts'

/** One way of doing a thing. `run` does it and tells how much of it was done. */
export type Entry = { name: string; server: ServerProcess; run: () => Promise<number>; goal?: number }
/** Ways of doing the same thing, of which one is what the others are measured against. */
export type Contest = { name: string; note: string; unit: string; baseline: Entry; entries: Entry[] }
/** `perCpuSecond` and `perSecond` are medians over the rounds; `ratio` is the median of each round's own. */
export type Score = { entry: Entry; perCpuSecond: number; perSecond: number; ratio: number }

/**
 * Lets all take turns, in one order and then in the other, and compares them round by round. The first round
 * only warms up.
 *
 * @param rounds how many count
 */
export async function measure({ baseline, entries }: Contest, rounds: number): Promise<Score[]> {
  const all = [baseline, ...entries]
  const turns = new Map(all.map((entry) => [entry, { perCpuSecond: [0], perSecond: [0] }]))
  for (let round = 0; round <= rounds; round++) {
    for (const entry of round % 2 ? all : all.toReversed()) {
      const startedAtMs = performance.now()
      const before = entry.server.cpuSeconds()
      const done = await entry.run()
      const turn = turns.get(entry)
      if (round === 0 || !turn) continue
      turn.perCpuSecond[round - 1] = done / (entry.server.cpuSeconds() - before)
      turn.perSecond[round - 1] = (done / (performance.now() - startedAtMs)) * 1000
    }
  }
  const base = turns.get(baseline)?.perCpuSecond ?? []
  return all.map((entry) => {
    const { perCpuSecond, perSecond } = turns.get(entry) ?? { perCpuSecond: [], perSecond: [] }
    return {
      entry,
      perCpuSecond: median(perCpuSecond),
      perSecond: median(perSecond),
      ratio: median(perCpuSecond.map((value, round) => value / (base[round] ?? Number.NaN))),
    }
  })
}

function median(values: number[]): number {
  const sorted = values.toSorted((one, other) => one - other)
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN
}
