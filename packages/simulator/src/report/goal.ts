import type { Summary } from './summary.ts'

/** The goal of the policy, on every trace. */
export const goal = {
  /** p95 wait ÷ that of the reference; at most. */
  waitRatio: 1.3,
  /** Cost ÷ that of the reference; at most. */
  costRatio: 1.3,
  /** Direction changes per burst; fewer than. */
  changesPerBurst: 2,
}

/** Shorter waits count as this long (a ninth of a job): a ratio of two waits near zero means nothing. */
const minWaitS = 0.1

/** Compares a policy's result with that of the reference scaler. */
export function compareWithReference(reference: Summary, policy: Summary, bursts: number) {
  const waitRatio = Math.max(policy.p95S, minWaitS) / Math.max(reference.p95S, minWaitS)
  const costRatio = policy.dollars / reference.dollars
  const changesPerBurst = policy.directionChanges / Math.max(1, bursts)
  const met =
    waitRatio <= goal.waitRatio && costRatio <= goal.costRatio && changesPerBurst < goal.changesPerBurst
  return { waitRatio, costRatio, changesPerBurst, met }
}

export type Comparison = ReturnType<typeof compareWithReference>
