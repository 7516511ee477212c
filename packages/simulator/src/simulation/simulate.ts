import { createFleetMetrics } from '../scalers/fleet-metrics.ts'
import type { FleetView, Scaler } from '../scalers/scaler.ts'
import { createRandom } from '../traces/random.ts'
import type { Trace } from '../traces/trace.ts'
import { createEventQueue } from './event-queue.ts'
import { createJobQueue } from './job-queue.ts'
import type { Prices } from './prices.ts'
import { noticeAfterS, noticeS, type SpotMarket } from './spot-market.ts'
import { createWorkerFleet, type Worker } from './worker-fleet.ts'

export type Conditions = {
  seed: number
  /** From a launch until the worker takes jobs, in seconds. */
  bootS: number
  slotsPerWorker: number
  limits: { min: number; max: number }
  /** How many of the workers are on demand; the rest is Spot. */
  onDemandBase: number
  spot: SpotMarket
  prices: Prices
}

/** How far apart the points of an outcome's series are. */
export const seriesPeriodS = 10

/** The state at one moment, and the arrivals since the one before. */
export type SeriesPoint = {
  atS: number
  arrivals: number
  backlog: number
  inService: number
  desired: number
}

export type Outcome = {
  scaler: string
  trace: string
  /** From a job's arrival to its end, less its duration: what an interruption cost is in it. */
  waitS: Float64Array
  /** Jobs in the order in which they started; one that was interrupted starts again. */
  startOrder: number[]
  interruptions: number
  series: SeriesPoint[]
  /** Each change of the number that is wanted. */
  changes: { atS: number; desired: number }[]
  peakWorkers: number
  workerHours: number
  dollars: number
  endS: number
}

/** Lets a test look at each state that the simulation comes to rest in. */
export type Watch = (state: { nowS: number; waiting: number; freeSlots: number }) => void

/** Points that are kept for policies: as many as an hour has. */
const keptPoints = 360

/**
 * Runs a trace against a policy: jobs wait in one queue, first in, first out; workers take them as slots are
 * free; the policy says how many workers there are, and they come `bootS` later. Equal input gives equal output.
 */
export function simulate(trace: Trace, scaler: Scaler, conditions: Conditions, watch?: Watch): Outcome {
  const { bootS, slotsPerWorker, limits, prices } = conditions
  const { arrivedS, durationS } = trace
  const jobs = arrivedS.length
  const events = createEventQueue()
  const queue = createJobQueue(jobs)
  const fleet = createWorkerFleet({ slots: slotsPerWorker, onDemandBase: conditions.onDemandBase })
  const metrics = createFleetMetrics(keptPoints)
  const random = createRandom(conditions.seed ^ 0x2545f491)
  const waitS = new Float64Array(jobs)
  const runs = new Int32Array(jobs)
  const holder = new Int32Array(jobs)
  const startOrder: number[] = []
  const series: SeriesPoint[] = []
  const changes: Outcome['changes'] = []

  let nowS = 0
  let desired = limits.min
  let nextJob = 0
  let done = 0
  let interruptions = 0
  let peakWorkers = limits.min
  let lastSeriesJob = 0
  let workArrivedS = 0
  let workStartedS = 0
  let workDoneS = 0
  /** Work that had arrived by each whole second of the last hour, for the oracle. */
  const arrivedBy = new Float64Array(3600)

  function start(worker: Worker, job: number) {
    const run = (runs[job] ?? 0) + 1
    runs[job] = run
    holder[job] = worker.id
    fleet.occupy(worker, job)
    startOrder.push(job)
    workStartedS += durationS[job] ?? 0
    events.add({ atS: nowS + (durationS[job] ?? 0), kind: 'job-ends', id: job, run })
  }

  function startWaiting() {
    while (queue.size() > 0 && fleet.freeSlots() > 0) {
      const worker = fleet.freeWorker()
      const job = worker && queue.take()
      if (!worker || job === undefined) return
      start(worker, job)
    }
  }

  function launch(readyAfterS: number) {
    const worker = fleet.launch(nowS)
    events.add({ atS: nowS + readyAfterS, kind: 'worker-ready', id: worker.id, run: 0 })
    if (worker.spot) {
      const atS = nowS + noticeAfterS(conditions.spot, random)
      if (atS < Number.POSITIVE_INFINITY) events.add({ atS, kind: 'spot-notice', id: worker.id, run: 0 })
    }
  }

  /** Makes as many workers as are wanted out of those that are there. */
  function meetDesired() {
    for (let have = fleet.counts.starting + fleet.counts.inService; have < desired; have += 1) launch(bootS)
    for (let have = fleet.counts.starting + fleet.counts.inService; have > desired; have -= 1) {
      const worker = fleet.surplus()
      if (worker) fleet.drain(worker, nowS)
    }
    peakWorkers = Math.max(peakWorkers, fleet.counts.starting + fleet.counts.inService)
  }

  const view = (): FleetView => ({
    nowS,
    desired,
    inService: fleet.counts.inService,
    starting: fleet.counts.starting,
    settled: (settleS) => fleet.settled(nowS, settleS),
    slotsPerWorker,
    bootS,
    limits,
    points: metrics.points,
    exact: {
      waitingS: () => workArrivedS - workStartedS,
      startingForS: () => fleet.startingForS(nowS),
      arrivedS: (windowS) => workArrivedS - (arrivedBy[Math.max(0, nowS - windowS) % 3600] ?? 0),
    },
  })

  function tick() {
    arrivedBy[nowS % 3600] = workArrivedS
    metrics.sample(nowS, {
      waiting: queue.size(),
      busySlots: fleet.counts.busySlots,
      slots: fleet.slotsInService(),
      inService: fleet.counts.inService,
      arrived: nextJob,
      finished: done,
      finishedWorkS: workDoneS,
    })
    if (nowS % seriesPeriodS === 0) {
      series.push({
        atS: nowS,
        arrivals: nextJob - lastSeriesJob,
        backlog: queue.size(),
        inService: fleet.counts.inService,
        desired,
      })
      lastSeriesJob = nextJob
    }
    if (nowS <= scaler.delayS || (nowS - scaler.delayS) % scaler.periodS !== 0) return
    const wanted = Math.min(Math.max(scaler.decide(view()), limits.min), limits.max)
    if (wanted === desired) return
    desired = wanted
    changes.push({ atS: nowS, desired })
    meetDesired()
  }

  function happen() {
    const event = events.take()
    if (!event) return
    nowS = event.atS
    const { id, kind } = event
    if (kind === 'job-ends') {
      if (runs[id] !== event.run) return
      const worker = fleet.find(holder[id] ?? -1)
      if (worker) fleet.vacate(worker, id, nowS)
      waitS[id] = Math.max(0, nowS - (arrivedS[id] ?? 0) - (durationS[id] ?? 0))
      done += 1
      workDoneS += durationS[id] ?? 0
      return
    }
    const worker = fleet.find(id)
    if (!worker || worker.state === 'gone') return
    if (kind === 'worker-ready' && worker.state === 'starting') fleet.ready(worker, nowS)
    if (kind === 'spot-notice' && worker.state !== 'draining') {
      interruptions += 1
      fleet.drain(worker, nowS)
      events.add({ atS: nowS + noticeS, kind: 'worker-killed', id, run: 0 })
      meetDesired()
    }
    if (kind === 'worker-killed') {
      for (const job of fleet.kill(worker, nowS)) {
        // Its end, which is among the events, is no longer that of its run.
        runs[job] = (runs[job] ?? 0) + 1
        queue.handBack(job)
        workStartedS -= durationS[job] ?? 0
      }
    }
  }

  // The fleet that is always there was started long ago.
  for (let count = 0; count < limits.min; count += 1) launch(0)
  let nextTickS = 1
  while (done < jobs || nextTickS <= trace.endS) {
    const arrivalS = nextJob < jobs ? (arrivedS[nextJob] ?? 0) : Number.POSITIVE_INFINITY
    const eventS = events.nextS()
    if (nextTickS < arrivalS && nextTickS < eventS) {
      nowS = nextTickS
      nextTickS += 1
      tick()
    } else if (eventS <= arrivalS) {
      happen()
    } else {
      nowS = arrivalS
      workArrivedS += durationS[nextJob] ?? 0
      queue.add(nextJob)
      nextJob += 1
    }
    startWaiting()
    watch?.({ nowS, waiting: queue.size(), freeSlots: fleet.freeSlots() })
  }

  const endS = Math.max(nowS, trace.endS)
  const { hours, dollars } = fleet.bill(endS, prices)
  return {
    scaler: scaler.name,
    trace: trace.name,
    waitS,
    startOrder,
    interruptions,
    series,
    changes,
    peakWorkers,
    workerHours: hours,
    dollars,
    endS,
  }
}
