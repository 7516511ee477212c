import { setTimeout as delay } from 'node:timers/promises'
import { type ProxyAction, type S3Proxy, type SeenRequest, startS3Proxy } from '../support/s3-proxy.ts'
import type { Random } from './random.ts'

/** Decides about the requests of services while a fault is active. Undefined: the fault does not concern the request. */
export type HttpFault = (seen: SeenRequest, random: Random) => ProxyAction | 'slow' | undefined

/** A point in the work of a service at which it is killed: before S3 gets a request, or after S3 executed it. */
export type KillPoint = {
  /** Whether the service is one of those to kill. */
  concerns: (service: string) => boolean
  method: string
  path: RegExp
  when: 'before' | 'after'
}

/** How long a slow response takes, in ms. */
const slowMs = { least: 200, most: 3_000 }

export type HttpFaults = ReturnType<typeof createHttpFaults>

/**
 * Creates proxies in front of S3 or SQS, one for each service, with the same faults.
 * @param deps.random decides which requests a fault concerns. The order of requests is not repeatable, so this is not the
 *   random source of the schedule
 */
export function createHttpFaults(deps: { endpoint: string; random: Random }) {
  const { endpoint, random } = deps
  const active = new Set<HttpFault>()
  const proxies: S3Proxy[] = []
  let armed: (KillPoint & { reached: (service: string) => void }) | undefined

  async function decide(service: string, proxy: S3Proxy, seen: SeenRequest): Promise<ProxyAction> {
    if (
      armed?.concerns(service) &&
      armed.method === seen.method &&
      armed.path.test(decodeURIComponent(seen.path))
    ) {
      const { reached, when } = armed
      armed = undefined
      if (when === 'before') {
        reached(service)
        return 'reset'
      }
      const response = proxy.holdResponse((other) => other === seen)
      response.arrived.then(() => {
        reached(service)
        response.release()
      })
      return 'lose'
    }
    for (const fault of active) {
      const action = fault(seen, random)
      if (action === 'slow') await delay(random.between(slowMs.least, slowMs.most))
      else if (action !== undefined) return action
    }
    return 'pass'
  }

  return {
    /** Opens a proxy for one service. @returns its endpoint */
    async listen(service: string): Promise<string> {
      const proxy = await startS3Proxy(endpoint)
      proxy.intercept((seen) => decide(service, proxy, seen))
      proxies.push(proxy)
      return proxy.endpoint
    },
    /** Activates a fault. @returns a function that ends it */
    activate(fault: HttpFault): () => void {
      active.add(fault)
      return () => void active.delete(fault)
    },
    /**
     * Waits for the next request at a kill point.
     * @param kill called at once with the service that sent it
     * @returns the service, or undefined if there was no such request in this time
     */
    async nextAt(
      point: KillPoint,
      timeoutMs: number,
      kill: (service: string) => void,
    ): Promise<string | undefined> {
      const { promise, resolve } = Promise.withResolvers<string | undefined>()
      const reached = (service: string) => {
        kill(service)
        resolve(service)
      }
      armed = { ...point, reached }
      const timer = setTimeout(() => resolve(undefined), timeoutMs)
      const service = await promise
      clearTimeout(timer)
      armed = undefined
      return service
    },
    async close(): Promise<void> {
      for (const proxy of proxies) await proxy.close()
    },
  }
}
