import { instanceCost, type Prices } from './prices.ts'

export type Worker = {
  id: number
  spot: boolean
  state: 'starting' | 'in-service' | 'draining' | 'gone'
  launchedS: number
  readyS: number
  goneS: number
  /** The jobs in its slots. */
  jobs: Set<number>
}

/**
 * The workers of one simulation. The first `onDemandBase` workers are on-demand instances, the others are Spot, as in
 * an Auto Scaling group with mixed instances.
 */
export function createWorkerFleet({ slots, onDemandBase }: { slots: number; onDemandBase: number }) {
  const workers: Worker[] = []
  /** The workers that are not gone, in order of launch. */
  let current: Worker[] = []
  let lastIndex = 0
  const counts = { starting: 0, inService: 0, busySlots: 0, busyInService: 0 }

  const notDraining = () => current.filter(({ state }) => state !== 'draining')

  return {
    workers,
    counts,
    slotsInService: () => counts.inService * slots,
    freeSlots: () => counts.inService * slots - counts.busyInService,
    find: (id: number) => workers[id],

    launch(nowS: number): Worker {
      const onDemand = notDraining().filter(({ spot }) => !spot).length
      const worker: Worker = {
        id: workers.length,
        spot: onDemand >= onDemandBase,
        state: 'starting',
        launchedS: nowS,
        readyS: Number.POSITIVE_INFINITY,
        goneS: Number.POSITIVE_INFINITY,
        jobs: new Set(),
      }
      workers.push(worker)
      current.push(worker)
      counts.starting += 1
      return worker
    },

    /** Returns how many workers have been in service for at least `durationS` seconds. */
    inServiceFor: (nowS: number, durationS: number) =>
      current.filter(({ state, readyS }) => state === 'in-service' && readyS <= nowS - durationS).length,

    /** Returns the sum of the seconds since launch over all starting workers. */
    startingForS: (nowS: number) =>
      current.reduce((sum, { state, launchedS }) => sum + (state === 'starting' ? nowS - launchedS : 0), 0),

    ready(worker: Worker, nowS: number) {
      worker.readyS = nowS
      worker.state = 'in-service'
      counts.starting -= 1
      counts.inService += 1
    },

    /** Returns the next worker with a free slot, in turn. */
    freeWorker(): Worker | undefined {
      for (let tries = 0; tries < current.length; tries += 1) {
        lastIndex = (lastIndex + 1) % current.length
        const worker = current[lastIndex]
        if (worker?.state === 'in-service' && worker.jobs.size < slots) return worker
      }
      return undefined
    },

    assignJob(worker: Worker, job: number) {
      worker.jobs.add(job)
      counts.busySlots += 1
      counts.busyInService += 1
    },

    finishJob(worker: Worker, job: number, nowS: number) {
      worker.jobs.delete(job)
      counts.busySlots -= 1
      if (worker.state === 'in-service') counts.busyInService -= 1
      if (worker.state === 'draining' && worker.jobs.size === 0) leave(worker, nowS)
    },

    drain,

    /** Stops a worker immediately. @returns its unfinished jobs */
    kill(worker: Worker, nowS: number): number[] {
      const jobs = [...worker.jobs]
      if (worker.state !== 'draining') drain(worker, nowS)
      counts.busySlots -= jobs.length
      worker.jobs.clear()
      leave(worker, nowS)
      return jobs
    },

    /** Returns the worker to remove: a starting one if possible, otherwise the oldest; Spot before on-demand. */
    workerToRemove(): Worker | undefined {
      const candidates = notDraining()
      const spot = candidates.filter((worker) => worker.spot)
      const pool = spot.length > 0 ? spot : candidates
      return pool.findLast(({ state }) => state === 'starting') ?? pool[0]
    },

    /** Returns hours and dollars of all workers. Running workers are billed until `nowS`. */
    bill(nowS: number, prices: Prices) {
      let hours = 0
      let dollars = 0
      for (const { launchedS, goneS, spot } of workers) {
        const ranS = Math.min(goneS, nowS) - launchedS
        hours += ranS / 3600
        dollars += instanceCost(ranS, spot ? prices.spot : prices.onDemand)
      }
      return { hours, dollars }
    },
  }

  /** Makes a worker accept no more jobs. It leaves when its active jobs are finished. */
  function drain(worker: Worker, nowS: number) {
    if (worker.state === 'starting') counts.starting -= 1
    else {
      counts.inService -= 1
      counts.busyInService -= worker.jobs.size
    }
    worker.state = 'draining'
    if (worker.jobs.size === 0) leave(worker, nowS)
  }

  function leave(worker: Worker, nowS: number) {
    if (worker.state === 'gone') return
    worker.state = 'gone'
    worker.goneS = nowS
    current = current.filter((candidate) => candidate !== worker)
  }
}

export type WorkerFleet = ReturnType<typeof createWorkerFleet>
