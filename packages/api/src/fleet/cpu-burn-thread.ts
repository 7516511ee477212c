import { workerData } from 'node:worker_threads'

/** Keeps one core busy for `workerData` milliseconds. */
const endsAt = performance.now() + workerData
while (performance.now() < endsAt) {
  // The loop body is empty: only the time matters.
}
