/** A piece of work that runs beside others. */
export type Task = {
  /** Number of processes that are busy meanwhile. */
  weight: number
  /** Expected time. Longer tasks start earlier, so that none runs alone at the end. */
  seconds: number
  run(): Promise<void>
}

/**
 * Runs tasks beside each other, the longest first. A task begins if the running ones leave any of the budget, so that a heavy
 * one does not wait until the light ones have ended.
 *
 * An error of a task rejects the promise when the running tasks have ended.
 *
 * @param tasks in any order
 * @param options.budget sum of the weights of running tasks, which the last one may exceed
 * @param options.signal starts no further task
 */
export async function runInBudget(
  tasks: Task[],
  options: { budget: number; signal?: AbortSignal },
): Promise<void> {
  const waiting = tasks.toSorted((a, b) => b.seconds - a.seconds)
  const running = new Set<Task>()
  const hasRoom = () => [...running].reduce((sum, other) => sum + other.weight, 0) < options.budget
  const ends: Promise<void>[] = []
  const errors: unknown[] = []
  const runTask = async (task: Task) => {
    running.add(task)
    await task.run().catch((error) => errors.push(error))
    running.delete(task)
    startFitting()
  }
  const startFitting = () => {
    for (let next = findNext(); next !== undefined; next = findNext()) {
      waiting.shift()
      ends.push(runTask(next))
    }
  }
  const findNext = () => (options.signal?.aborted || errors.length > 0 || !hasRoom() ? undefined : waiting[0])
  startFitting()
  // Each task's end may have started further ones.
  for (let index = 0; index < ends.length; index++) await ends[index]
  if (errors.length > 0) throw errors[0]
}
