import type { ServerProcess } from './server-process.ts'

/** One implementation of the same task. `run` performs it once and returns the amount of work, in `unit`s. */
export type Candidate = { name: string; server: ServerProcess; run: () => Promise<number>; goal?: number }
/** A baseline and the candidates that are compared with it. */
export type Comparison = {
  name: string
  note: string
  unit: string
  baseline: Candidate
  candidates: Candidate[]
}
/** `perCpuSecond` and `perSecond` are medians over the rounds; `ratio` is the median of the rounds' ratios. */
export type Result = { candidate: Candidate; perCpuSecond: number; perSecond: number; ratio: number }

/**
 * Runs all candidates in turn, in alternating order, and compares them round by round. An additional first round
 * warms up and is not measured.
 *
 * @param rounds the number of measured rounds
 */
export async function measure({ baseline, candidates }: Comparison, rounds: number): Promise<Result[]> {
  const all = [baseline, ...candidates]
  const measurements = new Map(all.map((candidate) => [candidate, { perCpuSecond: [0], perSecond: [0] }]))
  for (let round = 0; round <= rounds; round++) {
    for (const candidate of round % 2 ? all : all.toReversed()) {
      const startedAtMs = performance.now()
      const cpuSecondsBefore = candidate.server.cpuSeconds()
      const amount = await candidate.run()
      const measurement = measurements.get(candidate)
      if (round === 0 || !measurement) continue
      measurement.perCpuSecond[round - 1] = amount / (candidate.server.cpuSeconds() - cpuSecondsBefore)
      measurement.perSecond[round - 1] = (amount / (performance.now() - startedAtMs)) * 1000
    }
  }
  const baselineValues = measurements.get(baseline)?.perCpuSecond ?? []
  return all.map((candidate) => {
    const { perCpuSecond, perSecond } = measurements.get(candidate) ?? { perCpuSecond: [], perSecond: [] }
    return {
      candidate,
      perCpuSecond: median(perCpuSecond),
      perSecond: median(perSecond),
      ratio: median(perCpuSecond.map((value, round) => value / (baselineValues[round] ?? Number.NaN))),
    }
  })
}

function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN
}
