import { createFleetMetrics } from '../scalers/fleet-metrics.ts'
import type { FleetView, Scaler } from '../scalers/scaler.ts'
import { createRandom } from '../traces/random.ts'
import type { Trace } from '../traces/trace.ts'
import { createEventQueue } from './event-queue.ts'
import { createJobQueue } from './job-queue.ts'
import type { Prices } from './prices.ts'
import { noticeS, type SpotMarket, secondsUntilNotice } from './spot-market.ts'
import { createWorkerFleet, type Worker } from './worker-fleet.ts'

export type Conditions = {
  seed: number
  /** Seconds from a worker's launch until it takes jobs. */
  bootS: number
  slotsPerWorker: number
  limits: { min: number; max: number }
  /** How many workers are on-demand instances; the others are Spot. */
  onDemandBase: number
  spot: SpotMarket
  prices: Prices
}

/** Seconds between the points of an outcome's series. */
export const seriesPeriodS = 10

/** The state at one moment, and the arrivals since the previous point. */
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
  /** Seconds from a job's arrival to its end, minus its duration. Includes work repeated after interruptions. */
  waitS: Float64Array
  /** Jobs in the order in which they started. An interrupted job occurs again. */
  startOrder: number[]
  interruptions: number
  series: SeriesPoint[]
  /** Each change of the desired number of workers. */
  changes: { atS: number; desired: number }[]
  peakWorkers: number
  workerHours: number
  dollars: number
  endS: number
}

/** Receives each state between two events, for tests. */
export type StateListener = (state: { nowS: number; waiting: number; freeSlots: number }) => void

/** Metric points that scalers can read: one hour. */
const minPoints = 360

/**
 * Simulates a trace with a scaler. Jobs wait in one queue, first in, first out. Workers take them when slots are
 * free. The scaler decides the number of workers, and new ones are ready `bootS` later. The same input always gives
 * the same output.
 */
export function simulate(
  trace: Trace,
  scaler: Scaler,
  conditions: Conditions,
  onState?: StateListener,
): Outcome {
  const { bootS, slotsPerWorker, limits, prices } = conditions
  const { arrivedS, durationS } = trace
  const jobs = arrivedS.length
  const events = createEventQueue()
  const queue = createJobQueue(jobs)
  const fleet = createWorkerFleet({ slots: slotsPerWorker, onDemandBase: conditions.onDemandBase })
  const metrics = createFleetMetrics(minPoints)
  const random = createRandom(conditions.seed ^ 0x2545f491)
  const waitS = new Float64Array(jobs)
  const runs = new Int32Array(jobs)
  const workerOf = new Int32Array(jobs)
  const startOrder: number[] = []
  const series: SeriesPoint[] = []
  const changes: Outcome['changes'] = []

  let nowS = 0
  let desired = limits.min
  let nextJob = 0
  let finished = 0
  let interruptions = 0
  let peakWorkers = limits.min
  let lastSeriesJob = 0
  let workArrivedS = 0
  let workStartedS = 0
  let workDoneS = 0
  /** Work that had arrived by each whole second of the last hour, for the reference scaler. */
  const workArrivedBy = new Float64Array(3600)

  function start(worker: Worker, job: number) {
    const run = (runs[job] ?? 0) + 1
    runs[job] = run
    workerOf[job] = worker.id
    fleet.assignJob(worker, job)
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
      const atS = nowS + secondsUntilNotice(conditions.spot, random)
      if (atS < Number.POSITIVE_INFINITY) events.add({ atS, kind: 'spot-notice', id: worker.id, run: 0 })
    }
  }

  /** Launches or drains workers until the desired number is reached. */
  function resizeFleet() {
    for (let count = fleet.counts.starting + fleet.counts.inService; count < desired; count += 1)
      launch(bootS)
    for (let count = fleet.counts.starting + fleet.counts.inService; count > desired; count -= 1) {
      const worker = fleet.workerToRemove()
      if (worker) fleet.drain(worker, nowS)
    }
    peakWorkers = Math.max(peakWorkers, fleet.counts.starting + fleet.counts.inService)
  }

  const view = (): FleetView => ({
    nowS,
    desired,
    inService: fleet.counts.inService,
    starting: fleet.counts.starting,
    inServiceFor: (durationS) => fleet.inServiceFor(nowS, durationS),
    slotsPerWorker,
    bootS,
    limits,
    points: metrics.points,
    exact: {
      waitingS: () => workArrivedS - workStartedS,
      startingForS: () => fleet.startingForS(nowS),
      arrivedS: (windowS) => workArrivedS - (workArrivedBy[Math.max(0, nowS - windowS) % 3600] ?? 0),
    },
  })

  function tick() {
    workArrivedBy[nowS % 3600] = workArrivedS
    metrics.sample(nowS, {
      waiting: queue.size(),
      busySlots: fleet.counts.busySlots,
      slots: fleet.slotsInService(),
      inService: fleet.counts.inService,
      arrived: nextJob,
      finished,
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
    const nextDesired = Math.min(Math.max(scaler.decide(view()), limits.min), limits.max)
    if (nextDesired === desired) return
    desired = nextDesired
    changes.push({ atS: nowS, desired })
    resizeFleet()
  }

  function handleNextEvent() {
    const event = events.take()
    if (!event) return
    nowS = event.atS
    const { id, kind } = event
    if (kind === 'job-ends') {
      if (runs[id] !== event.run) return
      const worker = fleet.find(workerOf[id] ?? -1)
      if (worker) fleet.finishJob(worker, id, nowS)
      waitS[id] = Math.max(0, nowS - (arrivedS[id] ?? 0) - (durationS[id] ?? 0))
      finished += 1
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
      resizeFleet()
    }
    if (kind === 'worker-killed') {
      for (const job of fleet.kill(worker, nowS)) {
        // The run number no longer matches the queued end event, so that event is ignored.
        runs[job] = (runs[job] ?? 0) + 1
        queue.requeue(job)
        workStartedS -= durationS[job] ?? 0
      }
    }
  }

  // The minimum fleet was started long before the trace begins.
  for (let count = 0; count < limits.min; count += 1) launch(0)
  let nextTickS = 1
  while (finished < jobs || nextTickS <= trace.endS) {
    const arrivalS = nextJob < jobs ? (arrivedS[nextJob] ?? 0) : Number.POSITIVE_INFINITY
    const eventS = events.nextS()
    if (nextTickS < arrivalS && nextTickS < eventS) {
      nowS = nextTickS
      nextTickS += 1
      tick()
    } else if (eventS <= arrivalS) {
      handleNextEvent()
    } else {
      nowS = arrivalS
      workArrivedS += durationS[nextJob] ?? 0
      queue.add(nextJob)
      nextJob += 1
    }
    startWaiting()
    onState?.({ nowS, waiting: queue.size(), freeSlots: fleet.freeSlots() })
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
