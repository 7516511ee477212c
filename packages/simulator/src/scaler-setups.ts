import { apiScaling, type ScalingPolicy, workerScaling } from '@millrace/shared/fleet/scaling-policy.ts'
import { createBacklogScaler } from './scalers/backlog-scaler.ts'
import { createFixedScaler } from './scalers/fixed-scaler.ts'
import { createPolicyScaler } from './scalers/policy-scaler.ts'
import { createReferenceScaler, referenceSettings } from './scalers/reference-scaler.ts'
import type { Scaler } from './scalers/scaler.ts'
import type { Conditions } from './simulation/simulate.ts'
import { averageSlotDemand, type Trace } from './traces/trace.ts'

/** A scaler and its limits. Create a new one for each run, because scalers have state. */
export type ScalerSetup = { scaler: Scaler; limits: Conditions['limits'] }

/** From the end of a 10 s period until the alarm's action: publishing (1 s) and evaluation (about 2 s). */
const highResolutionDelayS = 3
/** AWS publishes its own metrics once a minute, with a delay of some seconds. */
const minuteMetricDelayS = 15
/** The longest acceptable wait, an input of the backlog scaler. */
const acceptableWaitS = 10
const fixedFleetUtilization = 0.7

/** Returns Millrace's policy, or another one that `searchPolicy` tries. */
export function millraceSetup(
  limits: Conditions['limits'],
  policy: ScalingPolicy = workerScaling,
): ScalerSetup {
  return { scaler: createPolicyScaler('Millrace', policy, highResolutionDelayS), limits }
}

/** Returns the scaler that all others are compared with. */
export function referenceSetup(limits: Conditions['limits']): ScalerSetup {
  return { scaler: createReferenceScaler(referenceSettings), limits }
}

/** Returns the alternatives: common scaling policies, and fleets of a fixed size. */
export function alternativeSetups(trace: Trace, { limits, slotsPerWorker }: Conditions): ScalerSetup[] {
  const jobs = trace.arrivedS.length
  const workersFor = (slots: number) =>
    Math.min(limits.max, Math.max(1, Math.ceil(slots / fixedFleetUtilization / slotsPerWorker)))
  const meanSlots = averageSlotDemand(trace)
  const backlogTarget = (slotsPerWorker * acceptableWaitS * jobs) / (meanSlots * trace.endS)
  const fixed = (workers: number) => ({
    scaler: createFixedScaler(workers),
    limits: { min: workers, max: workers },
  })
  return [
    { scaler: createPolicyScaler('CPU above 50 %', apiScaling, minuteMetricDelayS), limits },
    { scaler: createBacklogScaler(backlogTarget, minuteMetricDelayS), limits },
    fixed(workersFor(meanSlots)),
    fixed(workersFor(peakSlotDemand(trace))),
  ]
}

/** Returns the highest number of slots that the arrivals of one minute keep busy. */
function peakSlotDemand(trace: Trace): number {
  const minutes = new Float64Array(Math.ceil(trace.endS / 60))
  trace.arrivedS.forEach((at, job) => {
    const minute = Math.min(minutes.length - 1, Math.floor(at / 60))
    minutes[minute] = (minutes[minute] ?? 0) + (trace.durationS[job] ?? 0) / 60
  })
  return minutes.reduce((max, slots) => Math.max(max, slots), 0)
}
