import { workerData } from 'node:worker_threads'

/** Keeps one core busy. `workerData`: for how many milliseconds. */
const endsAt = performance.now() + workerData
while (performance.now() < endsAt) {
  // Only the time counts.
}
