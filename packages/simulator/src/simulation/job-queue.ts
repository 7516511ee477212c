/** Queue of waiting jobs, first in, first out. Jobs of an interrupted worker return to the front. */
export function createJobQueue(capacity: number) {
  // Each job is added once; an interrupted job is requeued separately. So the array cannot overflow.
  const waiting = new Int32Array(capacity)
  let head = 0
  let tail = 0
  const requeued: number[] = []
  return {
    add(job: number) {
      waiting[tail] = job
      tail += 1
    },
    requeue(job: number) {
      requeued.push(job)
    },
    take(): number | undefined {
      if (requeued.length > 0) return requeued.shift()
      if (head === tail) return undefined
      head += 1
      return waiting[head - 1]
    },
    size: () => tail - head + requeued.length,
  }
}
