/** An event at a point in time. `run` distinguishes the runs of a job that was interrupted. */
export type DueEvent = { atS: number; kind: EventKind; id: number; run: number }

export type EventKind = 'job-ends' | 'worker-ready' | 'spot-notice' | 'worker-killed'

/** Priority queue of events by time: a binary heap. The order of events at the same time is not defined. */
export function createEventQueue() {
  const heap: DueEvent[] = []

  function add(event: DueEvent) {
    let at = heap.length
    heap.push(event)
    while (at > 0) {
      const parent = (at - 1) >> 1
      const above = heap[parent]
      if (!above || above.atS <= event.atS) break
      heap[at] = above
      at = parent
    }
    heap[at] = event
  }

  function take(): DueEvent | undefined {
    const first = heap[0]
    const moved = heap.pop()
    if (!moved || heap.length === 0) return first
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      const left = heap[child]
      if (!left) break
      const right = heap[child + 1]
      if (right && right.atS < left.atS) child += 1
      const least = heap[child]
      if (!least || least.atS >= moved.atS) break
      heap[at] = least
      at = child
    }
    heap[at] = moved
    return first
  }

  return {
    add,
    take,
    /** Returns the time of the first event; Infinity if there is none. */
    nextS: () => heap[0]?.atS ?? Number.POSITIVE_INFINITY,
  }
}
