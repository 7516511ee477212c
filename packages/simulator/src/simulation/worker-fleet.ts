import { costOf, type Prices } from './prices.ts'

export type Worker = {
  id: number
  spot: boolean
  state: 'starting' | 'in-service' | 'draining' | 'gone'
  launchedS: number
  readyS: number
  goneS: number
  /** Jobs in its slots. */
  jobs: Set<number>
}

/**
 * The workers of one simulation. The first `onDemandBase` that live are on demand, the rest is Spot, as in an
 * Auto Scaling group with mixed instances.
 */
export function createWorkerFleet({ slots, onDemandBase }: { slots: number; onDemandBase: number }) {
  const workers: Worker[] = []
  /** Those that are not gone, in order of their launch. */
  let living: Worker[] = []
  let turn = 0
  const counts = { starting: 0, inService: 0, busySlots: 0, busyInService: 0 }

  const staying = () => living.filter(({ state }) => state !== 'draining')

  return {
    workers,
    counts,
    slotsInService: () => counts.inService * slots,
    freeSlots: () => counts.inService * slots - counts.busyInService,
    find: (id: number) => workers[id],

    launch(nowS: number): Worker {
      const onDemand = staying().filter(({ spot }) => !spot).length
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
      living.push(worker)
      counts.starting += 1
      return worker
    },

    /** How many have been in service for so long. */
    settled: (nowS: number, settleS: number) =>
      living.filter(({ state, readyS }) => state === 'in-service' && readyS <= nowS - settleS).length,

    /** For how long all that are starting have been, in seconds. */
    startingForS: (nowS: number) =>
      living.reduce((sum, { state, launchedS }) => sum + (state === 'starting' ? nowS - launchedS : 0), 0),

    ready(worker: Worker, nowS: number) {
      worker.readyS = nowS
      worker.state = 'in-service'
      counts.starting -= 1
      counts.inService += 1
    },

    /** The worker with a free slot whose turn it is: whoever asks first gets the job. */
    freeWorker(): Worker | undefined {
      for (let tries = 0; tries < living.length; tries += 1) {
        turn = (turn + 1) % living.length
        const worker = living[turn]
        if (worker?.state === 'in-service' && worker.jobs.size < slots) return worker
      }
      return undefined
    },

    occupy(worker: Worker, job: number) {
      worker.jobs.add(job)
      counts.busySlots += 1
      counts.busyInService += 1
    },

    vacate(worker: Worker, job: number, nowS: number) {
      worker.jobs.delete(job)
      counts.busySlots -= 1
      if (worker.state === 'in-service') counts.busyInService -= 1
      if (worker.state === 'draining' && worker.jobs.size === 0) leave(worker, nowS)
    },

    drain,

    /** Ends a worker whatever it does. @returns the jobs that it had */
    kill(worker: Worker, nowS: number): number[] {
      const jobs = [...worker.jobs]
      if (worker.state !== 'draining') drain(worker, nowS)
      counts.busySlots -= jobs.length
      worker.jobs.clear()
      leave(worker, nowS)
      return jobs
    },

    /** Which worker to remove: one that is still starting, or else the oldest; Spot before on demand. */
    surplus(): Worker | undefined {
      const candidates = staying()
      const spot = candidates.filter((worker) => worker.spot)
      const pool = spot.length > 0 ? spot : candidates
      return pool.findLast(({ state }) => state === 'starting') ?? pool[0]
    },

    /** Hours and dollars of all workers, those that live billed until `nowS`. */
    bill(nowS: number, prices: Prices) {
      let hours = 0
      let dollars = 0
      for (const { launchedS, goneS, spot } of workers) {
        const ranS = Math.min(goneS, nowS) - launchedS
        hours += ranS / 3600
        dollars += costOf(ranS, spot ? prices.spot : prices.onDemand)
      }
      return { hours, dollars }
    },
  }

  /** Takes no more jobs; leaves once those that it has are done. */
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
    living = living.filter((other) => other !== worker)
  }
}

export type WorkerFleet = ReturnType<typeof createWorkerFleet>
