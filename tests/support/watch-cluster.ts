import { Cluster, ClusterChange } from '@millrace/api/fleet/cluster-view.ts'
import { Compile } from 'typebox/compile'
import { openEventStream } from './event-stream.ts'
import type { HttpClient } from './http-client.ts'

const whole = Compile(Cluster)
const change = Compile(ClusterChange)

/**
 * Follows the fleet over `/admin/cluster/events`, as the console does: the whole first, then what changes.
 *
 * @param apiKey is sent as a bearer token
 */
export async function watchCluster(url: string, client: HttpClient, apiKey?: string) {
  const events = await openEventStream(new URL('/admin/cluster/events', url), client, undefined, apiKey)
  let current: Cluster | undefined
  return {
    close: events.close,
    /** Reads events until the fleet matches. */
    async until(matches: (cluster: Cluster) => boolean): Promise<Cluster> {
      for (;;) {
        const event = await events.next()
        if (!event) throw new Error('The stream ended.')
        if (event.event === 'cluster') current = whole.Parse(event.data)
        else if (current && event.event === 'cluster-change') {
          const changed = change.Parse(event.data)
          const history = [...current.history, ...(changed.history ?? [])]
          current = { ...current, ...changed, history }
        } else throw new Error(`Unexpected event ${event.event}.`)
        if (matches(current)) return current
      }
    },
  }
}
