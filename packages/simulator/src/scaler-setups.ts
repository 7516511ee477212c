import { apiScaling, type ScalingPolicy, workerScaling } from '@millrace/shared/fleet/scaling-policy.ts'
import { createBacklogScaler } from './scalers/backlog-scaler.ts'
import { createFixedScaler } from './scalers/fixed-scaler.ts'
import { createPolicyScaler } from './scalers/policy-scaler.ts'
import { createReactiveOracle, oracleSettings } from './scalers/reference-scaler.ts'
import type { Scaler } from './scalers/scaler.ts'
import type { Conditions } from './simulation/simulate.ts'
import { offeredSlots, type Trace } from './traces/trace.ts'

/** A policy and the limits that it has, made anew for each run since it remembers. */
export type Contender = { scaler: Scaler; limits: Conditions['limits'] }

/** From the end of a period of 10 s until an alarm has acted: publishing (1 s), evaluation (about 2 s). */
const highResolutionDelayS = 3
/** Metrics that AWS makes itself come once a minute and some seconds late. */
const minuteMetricDelayS = 15
/** How long a job may wait, for the policy that is told so. */
const acceptableWaitS = 10
const busyShareOfFixed = 0.7

/** Our policy, with other numbers where some are tried. */
export function ours(limits: Conditions['limits'], policy: ScalingPolicy = workerScaling): Contender {
  return { scaler: createPolicyScaler('Millrace', policy, highResolutionDelayS), limits }
}

export function oracle(limits: Conditions['limits']): Contender {
  return { scaler: createReactiveOracle(oracleSettings), limits }
}

/** What else there is: what people use, and fleets that never change. */
export function others(trace: Trace, { limits, slotsPerWorker }: Conditions): Contender[] {
  const jobs = trace.arrivedS.length
  const workersFor = (slots: number) =>
    Math.min(limits.max, Math.max(1, Math.ceil(slots / busyShareOfFixed / slotsPerWorker)))
  const mean = offeredSlots(trace)
  const backlogTarget = (slotsPerWorker * acceptableWaitS * jobs) / (mean * trace.endS)
  const fixed = (workers: number) => ({
    scaler: createFixedScaler(workers),
    limits: { min: workers, max: workers },
  })
  return [
    { scaler: createPolicyScaler('CPU above 50 %', apiScaling, minuteMetricDelayS), limits },
    { scaler: createBacklogScaler(backlogTarget, minuteMetricDelayS), limits },
    fixed(workersFor(mean)),
    fixed(workersFor(busiestMinute(trace))),
  ]
}

/** The most slots that one minute's arrivals would keep busy. */
function busiestMinute(trace: Trace): number {
  const minutes = new Float64Array(Math.ceil(trace.endS / 60))
  trace.arrivedS.forEach((at, job) => {
    const minute = Math.min(minutes.length - 1, Math.floor(at / 60))
    minutes[minute] = (minutes[minute] ?? 0) + (trace.durationS[job] ?? 0) / 60
  })
  return minutes.reduce((most, each) => Math.max(most, each), 0)
}
