import type { Summary } from './summary.ts'

/** What the policy's numbers are to reach, on every trace. */
export const goal = {
  /** p95 of the wait ÷ the oracle's. */
  waitRatio: 1.3,
  /** Dollars ÷ the oracle's. */
  costRatio: 1.3,
  /** Changes of direction for each burst; fewer than. */
  turnsPerBurst: 2,
}

/** Waits shorter than a ninth of a job are none: their ratio would be that of nothing to nothing. */
const noWaitS = 0.1

/** How a policy did beside the oracle. */
export function measureAgainst(oracle: Summary, policy: Summary, bursts: number) {
  const waitRatio = Math.max(policy.p95S, noWaitS) / Math.max(oracle.p95S, noWaitS)
  const costRatio = policy.dollars / oracle.dollars
  const turnsPerBurst = policy.directionChanges / Math.max(1, bursts)
  const met = waitRatio <= goal.waitRatio && costRatio <= goal.costRatio && turnsPerBurst < goal.turnsPerBurst
  return { waitRatio, costRatio, turnsPerBurst, met }
}

export type Measure = ReturnType<typeof measureAgainst>
