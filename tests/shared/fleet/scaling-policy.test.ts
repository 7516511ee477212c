import { arrivedBetween, demandOf, publishPeriodMs, queueLoadOf } from '@millrace/shared/fleet/queue-load.ts'
import {
  apiLimits,
  apiScaling,
  decideFleetSize,
  type FleetLimits,
  type LastActions,
  type MetricPoint,
  pointsNeeded,
  workerLimits,
  workerScaling,
} from '@millrace/shared/fleet/scaling-policy.ts'
import fc from 'fast-check'
import * as assert from 'uvu/assert'
import { checkProperty } from '../../support/check-property.ts'
import { suite } from '../../support/suite.ts'

const test = suite('scaling policy')
const periodMs = workerScaling.metricPeriodMs

type Values = { load: number; demand?: number }

/** Decides at the end of the last of `values`, one a period. A plain number is a load. */
function decide(
  values: (number | Values)[],
  fleet: { desired: number; inService: number; starting?: number },
  { actions = {}, limits = { min: 0, max: 10_000 } }: { actions?: LastActions; limits?: FleetLimits } = {},
) {
  const history = values.map((value, index) => {
    const { load, demand = 0 } = typeof value === 'number' ? { load: value } : value
    return { atMs: (index + 1) * periodMs, values: { Load: load, Demand: demand } }
  })
  const nowMs = values.length * periodMs
  return decideFleetSize(workerScaling, {
    history,
    nowMs,
    fleet: { starting: 0, ...fleet },
    actions,
    limits,
  })
}

const anyNumber = fc.oneof(
  fc.double({ min: 0, max: 2, noNaN: true }),
  fc.double({ min: 0, max: 1e6, noNaN: true }),
)
const anyValues = fc.record({ load: anyNumber, demand: anyNumber })
const anyFleet = fc
  .record({ inService: fc.nat(200), starting: fc.nat(200), surplus: fc.integer({ min: -50, max: 50 }) })
  .map(({ inService, starting, surplus }) => ({
    inService,
    starting,
    desired: Math.max(0, inService + starting + surplus),
  }))
const anyLimits = fc.tuple(fc.nat(50), fc.nat(200)).map(([min, more]) => ({ min, max: min + more }))
const anyActions = fc.dictionary(
  fc.constantFrom('tracking', 'scale-in', ...workerScaling.scaleOut.map(({ name }) => name)),
  fc.integer({ min: -200_000, max: 200_000 }),
)

test('the fleet size is always within its limits', async () => {
  await checkProperty(
    fc.property(
      fc.array(anyValues, { maxLength: 40 }),
      anyFleet,
      anyLimits,
      anyActions,
      (values, fleet, limits, actions) => {
        const { desired } = decide(values, fleet, { limits, actions })
        assert.ok(desired >= limits.min && desired <= limits.max && Number.isInteger(desired))
      },
    ),
  )
})

test('a higher queue load or demand never gives a smaller fleet', async () => {
  const pair = fc.tuple(anyValues, anyValues).map(([a, b]) => ({
    lower: { load: Math.min(a.load, b.load), demand: Math.min(a.demand, b.demand) },
    higher: { load: Math.max(a.load, b.load), demand: Math.max(a.demand, b.demand) },
  }))
  await checkProperty(
    fc.property(
      fc.array(pair, { minLength: 1, maxLength: 40 }),
      anyFleet,
      anyLimits,
      anyActions,
      (pairs, fleet, limits, actions) => {
        const wanted = (which: 'lower' | 'higher') =>
          decide(
            pairs.map((each) => each[which]),
            fleet,
            { limits, actions },
          ).desired
        assert.ok(wanted('higher') >= wanted('lower'))
      },
    ),
    { runs: 300 },
  )
})

test('a fleet at its target is not changed', () => {
  const { desired, reason } = decide(Array(100).fill(0.6), { desired: 7, inService: 7 })
  assert.is(desired, 7)
  assert.match(reason, 'within bounds')
})

test('target tracking acts on a queue load that stays above the target, not on a single value', () => {
  const { periods, target } = workerScaling.tracking
  assert.is(decide([...Array(periods - 1).fill(0.9)], { desired: 14, inService: 14 }).desired, 14)
  assert.is(
    decide(Array(periods).fill(0.9), { desired: 14, inService: 14 }).desired,
    Math.ceil((14 * 0.9) / target),
  )
})

test('a burst adds instances at once by its size; starting instances count as added', () => {
  const [step, larger] = workerScaling.scaleOut
  const burst = { load: 1, demand: step.atLeast }
  const first = decide([burst], { desired: 20, inService: 20 })
  assert.is(first.desired, 20 + (20 * step.percent) / 100)
  const fleet = { desired: first.desired, inService: 20, starting: first.desired - 20 }
  assert.is(decide([burst, burst], fleet, first).desired, first.desired)
  const second = decide([burst, { load: 1, demand: larger.atLeast }], fleet, first)
  assert.is(second.desired, 20 + (20 * larger.percent) / 100)
  const later = decide(Array(100).fill(burst), fleet, first)
  assert.is(later.desired, first.desired)
  assert.match(later.reason, 'enough are starting')
})

test('nothing is removed while instances are starting, nor twice in a minute', () => {
  const idle = Array(workerScaling.scaleIn.periods).fill(0)
  assert.is(decide(idle, { desired: 10, inService: 8, starting: 2 }).desired, 10)
  const first = decide(idle, { desired: 10, inService: 10 })
  assert.ok(first.desired < 10)
  assert.is(
    decide([...idle, 0], { desired: first.desired, inService: first.desired }, first).desired,
    first.desired,
  )
  const minute = Array(workerScaling.repeatMs / periodMs).fill(0)
  const second = decide([...idle, ...minute], { desired: first.desired, inService: first.desired }, first)
  assert.ok(second.desired < first.desired)
})

test('without recent values the fleet is not changed', () => {
  const fleet = { desired: 5, inService: 5, starting: 0 }
  const old = [{ atMs: 0, values: { Load: 1000, Demand: 1000 } }]
  const common = { fleet, actions: {}, limits: workerLimits }
  assert.is(decideFleetSize(workerScaling, { history: [], nowMs: 0, ...common }).desired, 5)
  assert.is(decideFleetSize(workerScaling, { history: old, nowMs: 40_000, ...common }).desired, 5)
  assert.ok(decideFleetSize(workerScaling, { history: old, nowMs: 20_000, ...common }).desired > 5)
})

test('an empty fleet starts one instance for one job, and scales back to zero', () => {
  const oneJob = queueLoadOf({ waiting: 0, prioritized: 0, active: 0, notRelayed: 1, slots: 0 })
  assert.is(decide([oneJob], { desired: 0, inService: 0 }).desired, 1)
  const idle = Array(workerScaling.scaleIn.periods).fill(0)
  assert.is(decide(idle, { desired: 1, inService: 1 }).desired, 0)
  assert.is(decide(idle, { desired: 0, inService: 0 }).desired, 0)
})

test('a metric without a value causes no action', () => {
  const history = Array.from({ length: 50 }, (_, index) => ({ atMs: index * periodMs, values: {} }))
  const fleet = { desired: 5, inService: 5, starting: 0 }
  const nowMs = 50 * periodMs
  assert.is(
    decideFleetSize(workerScaling, { history, nowMs, fleet, actions: {}, limits: workerLimits }).desired,
    5,
  )
})

test('an empty fleet does not divide by zero', async () => {
  const count = fc.nat(1e9)
  await checkProperty(
    fc.property(
      count,
      count,
      count,
      count,
      fc.nat(1e5),
      (waiting, prioritized, active, notRelayed, slots) => {
        const load = queueLoadOf({ waiting, prioritized, active, notRelayed, slots })
        assert.ok(Number.isFinite(load) && load >= 0)
        const sample = { arrived: waiting, periodMs: publishPeriodMs, jobDurationMs: active, slots }
        assert.ok(Number.isFinite(demandOf(sample)) && demandOf(sample) >= 0)
        assert.is(load === 0, waiting + prioritized + active + notRelayed === 0)
      },
    ),
  )
  assert.is(queueLoadOf({ waiting: 1, prioritized: 2, active: 3, notRelayed: 1, slots: 10 }), 0.7)
})

test('arrivals are the growth of the queue plus the finished jobs', () => {
  assert.is(arrivedBetween(10, 12, 5), 7)
  assert.is(arrivedBetween(10, 0, 5), 0)
  // 40 jobs of 0.9 s in a second keep 36 slots busy.
  assert.is(demandOf({ arrived: 400, periodMs: 10_000, jobDurationMs: 900, slots: 8 }), 4.5)
})

test('the policies contain only what EC2 Auto Scaling and CloudWatch can do', () => {
  assert.is(workerScaling.metricPeriodMs, publishPeriodMs)
  for (const { metricPeriodMs, scaleOut, scaleIn, warmupMs } of [workerScaling, apiScaling]) {
    // The periods of alarms, and the length of time that they may look at: a day.
    assert.ok([10_000, 20_000, 30_000].includes(metricPeriodMs) || metricPeriodMs % 60_000 === 0)
    for (const { periods } of [...scaleOut, scaleIn]) assert.ok(periods * metricPeriodMs <= 86_400_000)
    assert.is(warmupMs % 1000, 0)
    assert.ok(scaleIn.steps.length <= 20)
    assert.is(scaleIn.steps[0].atMost, scaleIn.atMost)
    const bounds = scaleIn.steps.map(({ atMost }) => atMost)
    assert.equal(
      bounds,
      bounds.toSorted((a, b) => b - a),
    )
    const names: string[] = scaleOut.map(({ name }) => name)
    assert.is(new Set(names).size, names.length)
    assert.not(names.some((name) => name === 'tracking' || name === 'scale-in'))
    const sameMetric = scaleOut.filter(({ metric }) => metric === scaleIn.metric)
    assert.ok(sameMetric.every(({ atLeast }) => atLeast > scaleIn.atMost))
  }
  // Target tracking takes no longer period than a minute.
  assert.ok(workerScaling.metricPeriodMs <= 60_000)
  assert.ok(workerScaling.scaleIn.atMost < workerScaling.tracking.target)
})

test('a value exactly at a bound is a breach, except at the target of tracking', () => {
  const { scaleIn, tracking, scaleOut } = workerScaling
  const fleet = { desired: 14, inService: 14 }
  assert.is(decide(Array(6).fill(tracking.target), fleet).desired, 14)
  assert.is(decide(Array(6).fill(tracking.target + 0.001), fleet).desired, 15)
  for (const { atLeast, metric, percent, periods } of scaleOut) {
    if (metric !== 'Demand') continue
    const burst = (demand: number) =>
      decide(Array(periods).fill({ load: 0.5, demand }), { desired: 100, inService: 100 })
    assert.is(burst(atLeast).desired, 100 + percent)
    assert.ok(burst(atLeast - 0.001).desired < 100 + percent)
  }
  assert.is(decide(Array(6).fill(scaleIn.atMost), fleet).desired, 14 - 5)
  assert.is(decide(Array(6).fill(scaleIn.atMost + 0.001), fleet).desired, 14)
})

test('scale-in removes the share of the lowest step that holds the average, rounded down', () => {
  const { periods, steps } = workerScaling.scaleIn
  for (const { atMost, percent } of steps) {
    assert.is(decide(Array(periods).fill(atMost), { desired: 100, inService: 100 }).desired, 100 - percent)
  }
  assert.is(decide(Array(periods).fill(0), { desired: 100, inService: 100 }).desired, 15)
  // 40 % of 7 is 2.8; one value lower than the others does not move the average to the next step.
  const uneven = [...Array(periods - 1).fill(0.36), 0.2]
  assert.is(decide(uneven, { desired: 7, inService: 7 }).desired, 5)
})

test('an alarm needs all of its periods, and one value outside of the bound ends it', () => {
  const { scaleIn, scaleOut, tracking } = workerScaling
  const fleet = { desired: 10, inService: 10 }
  assert.is(decide(Array(scaleIn.periods - 1).fill(0), fleet).desired, 10)
  assert.is(decide([...Array(scaleIn.periods - 1).fill(0), 0.5], fleet).desired, 10)
  assert.is(decide([0.5, ...Array(scaleIn.periods - 1).fill(0)], fleet).desired, 10)
  const backlog = scaleOut.find(({ name }) => name === 'backlog')
  assert.is(backlog?.periods, 30)
  // Tracking alone would add 5, since it is capped.
  const tracked = Math.ceil(10 / tracking.target)
  assert.is(decide(Array(29).fill(3), fleet).desired, tracked)
  assert.is(decide(Array(30).fill(3), fleet).desired, 20)
  assert.is(decide([...Array(29).fill(3), 2.9], fleet).desired, tracked)
})

test('a policy needs the points of its longest alarm, whichever part that is', () => {
  assert.equal([pointsNeeded(workerScaling), pointsNeeded(apiScaling)], [30, 5])
  assert.is(pointsNeeded({ ...workerScaling, scaleOut: [] }), 6)
  const tracking = { ...workerScaling.tracking, periods: 40 }
  assert.is(pointsNeeded({ ...workerScaling, tracking }), 40)
})

test('the numbers of the policies are those that the simulator found', () => {
  // docs/scaling.md. Change both together, after `npm run simulate`.
  const { warmupMs, repeatMs, tracking, scaleIn } = workerScaling
  assert.equal([periodMs, warmupMs, repeatMs], [10_000, 10_000, 60_000])
  assert.equal(tracking, { metric: 'Load', target: 0.7, cap: 1, periods: 3 })
  assert.equal([scaleIn.metric, scaleIn.atMost, scaleIn.periods], ['Load', 0.36, 6])
  assert.equal(
    workerScaling.scaleOut.map(({ metric, atLeast, periods, percent }) => [
      metric,
      atLeast,
      periods,
      percent,
    ]),
    [
      ['Demand', 1.1, 1, 150],
      ['Demand', 1.5, 1, 280],
      ['Demand', 2.1, 1, 470],
      ['Demand', 3, 1, 750],
      ['Demand', 4.2, 1, 1130],
      ['Demand', 6, 1, 1700],
      ['Demand', 8.5, 1, 2500],
      ['Demand', 12, 1, 3500],
      ['Load', 3, 30, 100],
      ['Load', 100, 1, 1],
    ],
  )
  assert.equal(apiScaling, {
    metricPeriodMs: 60_000,
    warmupMs: 60_000,
    repeatMs: 60_000,
    scaleOut: [{ name: 'busy', metric: 'CPUUtilization', atLeast: 50, periods: 2, percent: 50 }],
    scaleIn: { metric: 'CPUUtilization', atMost: 30, periods: 5, steps: [{ atMost: 30, percent: 10 }] },
  })
  assert.equal(
    [workerLimits, apiLimits],
    [
      { min: 2, max: 40 },
      { min: 2, max: 10 },
    ],
  )
})

test('of several parts the largest addition applies, and all of them pause', () => {
  const values = Array(3).fill({ load: 1, demand: 3 })
  const { desired, actions, reason } = decide(values, { desired: 20, inService: 20 })
  assert.is(desired, 20 + (20 * 750) / 100)
  assert.match(reason, 'Demand 3 is at least 3: 750 % more')
  assert.equal(Object.keys(actions).toSorted(), ['demand-1', 'demand-2', 'demand-3', 'demand-4', 'tracking'])
})

test('a part that changed nothing at a limit may act as soon as the limit is raised', () => {
  const burst = { load: 1, demand: 6 }
  const fleet = { desired: 10, inService: 10 }
  const limited = decide([burst], fleet, { limits: { min: 0, max: 10 } })
  assert.equal([limited.desired, limited.actions], [10, {}])
  assert.match(limited.reason, 'the limits are 0 to 10')
  assert.is(decide([burst, burst], fleet, { actions: limited.actions }).desired, 10 + 170)
  const idle = decide(Array(6).fill(0), fleet, { limits: { min: 10, max: 20 } })
  assert.equal([idle.desired, idle.actions], [10, {}])
})

test('the last value counts for three periods', () => {
  const history = [{ atMs: 0, values: { Load: 0.5, Demand: 6 } }]
  const fleet = { desired: 5, inService: 5, starting: 0 }
  const at = (nowMs: number) =>
    decideFleetSize(workerScaling, { history, nowMs, fleet, actions: {}, limits: { min: 0, max: 1_000 } })
      .desired
  assert.equal([at(30_000), at(30_001)], [5 + 85, 5])
})

test('under a constant load the fleet settles within its limits and does not flap', async () => {
  await checkProperty(
    fc.property(
      fc.double({ min: 0, max: 60, noNaN: true }),
      fc.integer({ min: 0, max: 100 }),
      anyLimits,
      (busySlots, initial, limits) => {
        const sizes = runAt(busySlots, Math.min(Math.max(initial, limits.min), limits.max), limits)
        assert.ok(sizes.every((size) => size >= limits.min && size <= limits.max))
        const settled = sizes.slice(-100)
        assert.is(new Set(settled).size, 1, `still ${[...new Set(settled)]}`)
        const changes = sizes.flatMap((size, index) => Math.sign(size - (sizes[index - 1] ?? size)) || [])
        const turns = changes.filter((sign, index) => index > 0 && sign !== changes[index - 1])
        assert.ok(turns.length <= 1, `${changes}`)
        // Neither too small for the load, nor more than twice what the target takes.
        const needed = busySlots / workerScaling.tracking.target
        assert.ok((settled[0] ?? 0) >= Math.min(limits.max, Math.floor(busySlots)))
        assert.ok((settled[0] ?? 0) <= Math.max(limits.min, 2 * needed + 2))
      },
    ),
  )
})

/** Runs the policy for an hour, with instances of one slot that start at once. @returns the size at the end of each period */
function runAt(busySlots: number, initial: number, limits: FleetLimits): number[] {
  const sizes = [initial]
  let history: MetricPoint[] = []
  let actions: LastActions = {}
  for (let period = 1; period <= 360; period++) {
    const size = sizes.at(-1) ?? 0
    // Without slots for all of it, the rest waits. Its length is of no matter here: the queue load is capped.
    const load = busySlots / Math.max(size, 0.001)
    const nowMs = period * periodMs
    history = [...history.slice(-29), { atMs: nowMs, values: { Load: load, Demand: load } }]
    const fleet = { desired: size, inService: size, starting: 0 }
    const decided = decideFleetSize(workerScaling, { history, nowMs, fleet, actions, limits })
    actions = decided.actions
    sizes.push(decided.desired)
  }
  return sizes
}

test.run()
