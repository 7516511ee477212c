import { setTimeout as delay } from 'node:timers/promises'
import type { Api } from '../http/api.ts'
import { budgetHolder } from '../identity/budget-holder.ts'
import type { EndedIdentities } from '../identity/ended-identities.ts'
import type { EventStreams, ServerSentEvent } from '../streams/server-sent-events.ts'
import { Cluster, type ViewCluster } from './cluster-view.ts'

/** Time between two events, in ms: the same as between two heartbeats. */
const refreshMs = 1_000

/** Adds `/admin/cluster`, the state of the fleet, and `/admin/cluster/events`: the same, and then each second what changed. */
export function clusterRoutes(
  api: Api,
  deps: { viewCluster: ViewCluster; eventStreams: EventStreams; endedIdentities: EndedIdentities },
): void {
  const { viewCluster, eventStreams, endedIdentities } = deps
  const config = { scope: 'admin' } as const

  api.get('/admin/cluster', { config, schema: { response: { 200: Cluster } } }, async (_, reply) => {
    reply.header('cache-control', 'no-store')
    return viewCluster()
  })

  api.get('/admin/cluster/events', { config }, (request, reply) => {
    const holder = budgetHolder(request, request.caller?.owner)
    return eventStreams.send(reply, { holder, ...endedIdentities.lifetimeOf(request) }, events)
  })

  async function* events(signal: AbortSignal): AsyncGenerator<ServerSentEvent> {
    const first = await viewCluster()
    let newest = first.history.at(-1)
    yield { id: first.at, event: 'cluster', data: first }
    const sent = new Map(Object.entries(first).map(([name, value]) => [name, JSON.stringify(value)]))
    for (;;) {
      await delay(refreshMs, undefined, { signal })
      const { history, ...state } = await viewCluster({ since: newest })
      newest = history.at(-1) ?? newest
      const changed = Object.entries(state).filter(([name, value]) => {
        const text = JSON.stringify(value)
        const isChanged = sent.get(name) !== text
        sent.set(name, text)
        return isChanged
      })
      const data = { ...Object.fromEntries(changed), ...(history.length > 0 && { history }) }
      yield { id: state.at, event: 'cluster-change', data }
    }
  }
}
