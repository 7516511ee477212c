/** A piece of work that runs beside others. */
export type Task = {
  /** Number of processes that are busy meanwhile. */
  weight: number
  /** Expected time. Longer tasks start earlier, so that none runs alone at the end. */
  seconds: number
  run(): Promise<void>
}

/** More tasks while the machine is idle: those that run may all be waiting. */
type IdleBudget = {
  /** Sum of the weights of running tasks up to which a further one begins, which it may exceed. */
  budget: number
  /** Whether the machine was idle since the last call. */
  isIdle: () => boolean
  /** How often that is asked, in ms. One task begins each time. */
  periodMs: number
}

/**
 * Runs tasks beside each other, the longest first. A task begins if the running ones leave any of the budget, so that a heavy
 * one does not wait until the light ones have ended.
 *
 * An error of a task rejects the promise when the running tasks have ended.
 *
 * @param tasks in any order
 * @param options.budget sum of the weights of running tasks, which the last one may exceed
 * @param options.whileIdle a larger budget while the machine is idle
 * @param options.signal starts no further task
 */
export async function runInBudget(
  tasks: Task[],
  options: { budget: number; whileIdle?: IdleBudget; signal?: AbortSignal },
): Promise<void> {
  const { whileIdle } = options
  const waiting = tasks.toSorted((a, b) => b.seconds - a.seconds)
  const running = new Set<Task>()
  const hasRoom = (budget: number) => [...running].reduce((sum, other) => sum + other.weight, 0) < budget
  const ends: Promise<void>[] = []
  const errors: unknown[] = []
  const runTask = async (task: Task) => {
    running.add(task)
    await task.run().catch((error) => errors.push(error))
    running.delete(task)
    startFitting()
  }
  /** @returns whether a task began */
  const startNext = (budget: number): boolean => {
    if (options.signal?.aborted || errors.length > 0 || !hasRoom(budget)) return false
    const next = waiting.shift()
    if (next) ends.push(runTask(next))
    return next !== undefined
  }
  const startFitting = () => {
    while (startNext(options.budget));
  }
  startFitting()
  const idleCheck =
    whileIdle && setInterval(() => whileIdle.isIdle() && startNext(whileIdle.budget), whileIdle.periodMs)
  // Each task's end may have started further ones.
  for (let index = 0; index < ends.length; index++) await ends[index]
  clearInterval(idleCheck)
  if (errors.length > 0) throw errors[0]
}
