/** Jobs that wait, first in, first out; what an interrupted worker hands back goes before all others. */
export function createJobQueue(capacity: number) {
  // No job is added twice without having been taken, so this never runs over.
  const waiting = new Int32Array(capacity)
  let head = 0
  let tail = 0
  const handedBack: number[] = []
  return {
    add(job: number) {
      waiting[tail] = job
      tail += 1
    },
    handBack(job: number) {
      handedBack.push(job)
    },
    take(): number | undefined {
      if (handedBack.length > 0) return handedBack.shift()
      if (head === tail) return undefined
      head += 1
      return waiting[head - 1]
    },
    size: () => tail - head + handedBack.length,
  }
}
