import { CircleCheck, TriangleAlert } from 'lucide-preact'
import type { ComponentChildren } from 'preact'
import { Explained } from '../design/explained.tsx'
import { durationText, sizeText } from '../format/format-quantities.ts'
import type { Cluster, FleetPoint } from './fleet-feed.ts'
import { countedText, countText, percentText } from './quantities.ts'
import { words } from './words.ts'
import './stat-tiles.css'

/** Finished uploads are averaged over this many points of the history: a minute. */
const throughputPoints = 6

/** The fleet in numbers, each with what it means. */
export function StatTiles({ cluster }: { cluster: Cluster }) {
  const { tiers, load, history } = cluster
  const api = tiers.find(({ tier }) => tier === 'api')
  const worker = tiers.find(({ tier }) => tier === 'worker')
  const [serving, total, lost] = [
    tiers.reduce((sum, tier) => sum + tier.serving, 0),
    tiers.reduce((sum, tier) => sum + tier.instances + tier.lost, 0),
    tiers.reduce((sum, tier) => sum + tier.lost, 0),
  ]
  const draining = total - serving - lost
  const waiting = load ? load.waiting + load.prioritized + load.notRelayed : undefined
  const finished = sumUploads(history.slice(-throughputPoints))
  const lastHour = sumUploads(history)
  return (
    <dl class="stat-tiles">
      <Tile word="Active instances" explanation={words.instances} value={countText(total - lost)}>
        {api?.instances ?? 0} API, {countedText(worker?.instances ?? 0, 'worker')}
      </Tile>
      <Tile
        word="Health"
        explanation={words.health}
        value={`${serving}/${total}`}
        tone={lost > 0 ? 'bad' : draining > 0 ? 'plain' : 'good'}
      >
        {lost > 0 ? `${lost} lost` : draining > 0 ? `${draining} draining` : 'All take work'}
      </Tile>
      <Tile
        word="Requests"
        explanation={`${words.requests} ${words.errors}`}
        value={countText((api?.perSecond ?? 0) * 60)}
        unit="per minute"
        tone={(api?.errorsPerMinute ?? 0) > 0 ? 'bad' : undefined}
      >
        {countedText(api?.errorsPerMinute ?? 0, 'error')}
      </Tile>
      <Tile
        word="Response time"
        explanation={words.responseTime}
        value={api?.latencyMs ? durationText(api.latencyMs.p50) : '–'}
        unit={api?.latencyMs ? 'p50' : ''}
      >
        {api?.latencyMs
          ? `p95 ${durationText(api.latencyMs.p95)}, p99 ${durationText(api.latencyMs.p99)}`
          : 'No requests in the last minute'}
      </Tile>
      <Tile word="CPU" explanation={words.cpu} value={cpuText(api?.cpuPercent)} unit="API">
        Workers {cpuText(worker?.cpuPercent)}
      </Tile>
      <Tile
        word="Queue depth"
        explanation={`${words.waiting} ${words.oldestJob}`}
        value={waiting === undefined ? '–' : countText(waiting)}
        unit="waiting"
      >
        {!load && 'Not measured'}
        {load &&
          (load.oldestJobAgeMs > 0 ? `The oldest for ${durationText(load.oldestJobAgeMs)}` : 'Nothing waits')}
      </Tile>
      <Tile
        word="Throughput"
        explanation={`${words.throughput} Average of the last minute.`}
        value={countText(finished.uploads)}
        unit="uploads per minute"
      >
        {sizeText(Math.round(finished.bytes))} per minute
      </Tile>
      <Tile
        word="Failures"
        explanation={words.failures}
        value={countText(lastHour.failed)}
        unit="failed"
        tone={lastHour.failed > 0 ? 'bad' : undefined}
      >
        {countText(lastHour.rejected)} rejected, last hour
      </Tile>
    </dl>
  )
}

type Tone = 'plain' | 'good' | 'bad'

function Tile(props: {
  word: string
  explanation: string
  value: string
  unit?: string
  tone?: Tone | undefined
  children: ComponentChildren
}) {
  const { word, explanation, value, unit, tone, children } = props
  return (
    <div class={`stat-tile${tone ? ` is-${tone}` : ''}`}>
      <dt>
        <Explained word={word}>{explanation}</Explained>
      </dt>
      <dd>
        <strong>
          {value}
          {unit && <small>{unit}</small>}
        </strong>
        <span>
          {tone === 'good' && <CircleCheck aria-hidden="true" />}
          {tone === 'bad' && <TriangleAlert aria-hidden="true" />}
          {children}
        </span>
      </dd>
    </div>
  )
}

function cpuText(percent: number | null | undefined): string {
  return percent === null || percent === undefined ? '–' : percentText(percent)
}

/** Adds up finished uploads. `uploads` and `bytes` are per minute. */
function sumUploads(points: FleetPoint[]) {
  const sum = (read: (uploads: FleetPoint['uploads']) => number) =>
    points.reduce((total, { uploads }) => total + read(uploads), 0)
  const minutes = Math.max(1 / 6, points.reduce((total, { periodMs }) => total + periodMs, 0) / 60_000)
  return {
    uploads: sum(({ ready, rejected, failed }) => ready + rejected + failed) / minutes,
    bytes: sum(({ bytes }) => bytes) / minutes,
    failed: sum(({ failed }) => failed),
    rejected: sum(({ rejected }) => rejected),
  }
}
