import DataLoader from 'dataloader'

/**
 * Batches lookups of one tick of the event loop into one call. Nothing is cached: equal keys are looked up once each.
 *
 * @param fetchBatch returns the values in the order of the keys, an Error for a key that failed. If it rejects, all
 *   lookups of the batch reject
 * @param maxBatchSize how many lookups one call takes. Further ones go into another call
 * @returns looks up one key
 */
export function createBatcher<Key, Value>(
  fetchBatch: (keys: readonly Key[]) => Promise<(Value | Error)[]>,
  maxBatchSize: number,
): (key: Key) => Promise<Value> {
  const loader = new DataLoader<Key, Value>(fetchBatch, {
    cache: false,
    maxBatchSize,
    // By default a batch ends with the current callback, so each request would be a batch of its own. setImmediate
    // runs after all requests that one poll of the event loop has read.
    batchScheduleFn: (sendBatch) => setImmediate(sendBatch),
  })
  return (key) => loader.load(key)
}
