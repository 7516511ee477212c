import { setFlagsFromString } from 'node:v8'

/**
 * Makes V8 allocate every new object in the young generation. By default, V8 allocates objects in the old
 * generation if earlier ones from the same code survived a collection or two, as objects of active requests
 * do ("allocation site pretenuring"). As garbage there, they keep alive everything that they refer to until
 * the next full collection. Whether this happens depends on the first seconds of a process. If it did, `GET
 * /session` took a third more (decision 0019).
 *
 * Call this first in a process that serves requests.
 */
export function disablePretenuring(): void {
  setFlagsFromString('--no-allocation-site-pretenuring')
}
