import { Badge, type Tone } from '../design/badge.tsx'
import { Explained } from '../design/explained.tsx'
import '../design/table.css'
import { durationText, sizeText } from '../format/format-quantities.ts'
import type { Cluster } from './fleet-feed.ts'
import { countedText, countText, percentText } from './quantities.ts'
import { words } from './words.ts'
import './instance-table.css'

type Instance = Cluster['instances'][number]

const tierNames = { api: 'API', worker: 'Worker' }
const tones: Record<Instance['state'], Tone> = { serving: 'good', draining: 'warn' }

/** All instances, one per row, with those that stopped responding. */
export function InstanceTable({ cluster }: { cluster: Cluster }) {
  const { instances, lost, at } = cluster
  const nowMs = Date.parse(at)
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must be reachable by keyboard
    <section class="table-frame" tabIndex={0} aria-label="Table of the instances">
      <table class="table instance-table">
        <thead>
          <tr>
            <th scope="col">Instance</th>
            <th scope="col">State</th>
            <th scope="col">Running for</th>
            <th scope="col">
              <Explained word="CPU">{words.cpu}</Explained>
            </th>
            <th scope="col">
              <Explained word="Memory">{words.memory}</Explained>
            </th>
            <th scope="col">
              <Explained word="Active">{words.active}</Explained>
            </th>
            <th scope="col">Per minute</th>
            <th scope="col">p50 · p95 · p99</th>
          </tr>
        </thead>
        <tbody>
          {instances.map((instance) => (
            <InstanceRow key={instance.id} instance={instance} nowMs={nowMs} />
          ))}
          {lost.map(({ id, tier, lostAt }) => (
            <tr key={id} class="is-lost">
              <th scope="row">
                {id} <span>{tierNames[tier]}</span>
              </th>
              <td>
                <Badge text="Lost" tone="bad" />
              </td>
              <td colSpan={6}>
                Lost {ageText(nowMs - Date.parse(lostAt))} ago: its heartbeats ended without notice.
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  )
}

function InstanceRow({ instance, nowMs }: { instance: Instance; nowMs: number }) {
  const { id, tier, state, since, version, cpuPercent, rssBytes, busy, slots, perSecond, latencyMs } =
    instance
  return (
    <tr>
      <th scope="row" title={`Version ${version}`}>
        {id} <span>{tierNames[tier]}</span>
      </th>
      <td>
        <Badge text={state === 'serving' ? 'Serving' : 'Draining'} tone={tones[state]} />
      </td>
      <td>{ageText(nowMs - Date.parse(since))}</td>
      <td>
        <span class="cpu-bar" style={{ '--share': Math.min(1, cpuPercent / 100) }} aria-hidden="true" />
        {percentText(cpuPercent)}
      </td>
      <td>{sizeText(rssBytes)}</td>
      <td>{slots > 0 ? `${busy} of ${slots} slots` : countedText(busy, 'request')}</td>
      <td>{countText(perSecond * 60)}</td>
      <td>{latencyMs ? [latencyMs.p50, latencyMs.p95, latencyMs.p99].map(durationText).join(' · ') : '–'}</td>
    </tr>
  )
}

/** Formats how long something is ago: 12 s, 4 min, 3 h, 2 days. */
function ageText(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000))
  if (seconds < 120) return `${seconds}\u00a0s`
  if (seconds < 7_200) return `${Math.round(seconds / 60)}\u00a0min`
  if (seconds < 172_800) return `${Math.round(seconds / 3_600)}\u00a0h`
  return `${Math.round(seconds / 86_400)}\u00a0days`
}
