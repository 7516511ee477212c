import { durationText, momentText, shortNumber, sizeText } from '../format.ts'
import type { Instance } from './cluster.ts'

/** Every process, one a row. */
export function InstanceTable({ instances }: { instances: Instance[] }) {
  return (
    <div class="instances">
      <table>
        <thead>
          <tr>
            <th scope="col">Instance</th>
            <th scope="col">State</th>
            <th scope="col">Since</th>
            <th scope="col">CPU</th>
            <th scope="col">Memory</th>
            <th scope="col">Busy</th>
            <th scope="col">Per s</th>
            <th scope="col">p50 · p95 · p99</th>
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
      <th scope="row" title={`version ${version}`}>
        {id}
      </th>
      <td>{state}</td>
      <td>{momentText(Date.parse(since))}</td>
      <td>{Math.round(cpuPercent)} %</td>
      <td>{sizeText(rssBytes)}</td>
      <td>{slots > 0 ? `${busy} of ${slots}` : busy}</td>
      <td>{shortNumber(perSecond)}</td>
      <td>{latencyMs ? [latencyMs.p50, latencyMs.p95, latencyMs.p99].map(durationText).join(' · ') : '–'}</td>
    </tr>
  )
}
