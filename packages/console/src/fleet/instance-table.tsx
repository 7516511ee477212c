import { durationText, numberText, sizeText, timeText } from '../format/format-quantities.ts'
import type { Instance } from './cluster.ts'

/** All instances, one per row. */
export function InstanceTable({ instances }: { instances: Instance[] }) {
  return (
    <div class="instances">
      <table>
        <thead>
          <tr>
            <th scope="col">Instance</th>
            <th scope="col">State</th>
            <th scope="col">Started</th>
            <th scope="col" title="of one core">
              CPU
            </th>
            <th scope="col">Memory</th>
            <th scope="col" title="requests of an API instance; worker slots in use">
              Active
            </th>
            <th scope="col" title="requests or jobs, average of the last minute">
              Per second
            </th>
            <th scope="col" title="of requests or jobs, last minute: p50 · p95 · p99">
              Duration (p50 · p95 · p99)
            </th>
          </tr>
        </thead>
        <tbody>
          {instances.map((instance) => (
            <InstanceRow key={instance.id} instance={instance} />
          ))}
        </tbody>
      </table>
    </div>
  )
}

function InstanceRow({ instance }: { instance: Instance }) {
  const { id, state, since, version, cpuPercent, rssBytes, busy, slots, perSecond, latencyMs } = instance
  return (
    <tr>
      <th scope="row" title={`Version ${version}`}>
        {id}
      </th>
      <td>{state}</td>
      <td>{timeText(Date.parse(since))}</td>
      <td>{Math.round(cpuPercent)} %</td>
      <td>{sizeText(rssBytes)}</td>
      <td>{slots > 0 ? `${busy} of ${slots}` : busy}</td>
      <td>{numberText(perSecond)}</td>
      <td>{latencyMs ? [latencyMs.p50, latencyMs.p95, latencyMs.p99].map(durationText).join(' · ') : '–'}</td>
    </tr>
  )
}
