import type { Client } from '@millrace/client'
import { Activity, LockKeyhole, Unplug } from 'lucide-preact'
import { useEffect, useMemo, useState } from 'preact/hooks'
import { Button } from '../design/button.tsx'
import { EmptyState } from '../design/empty-state.tsx'
import { Explained } from '../design/explained.tsx'
import type { Identity } from '../frame/identity.ts'
import { PageHeader } from '../frame/page-header.tsx'
import { type ChartDefinition, type ChartPoint, chartPoints, trafficCharts, workCharts } from './charts.ts'
import { FleetChart } from './fleet-chart.tsx'
import { FleetEvents } from './fleet-events.tsx'
import { type Cluster, createFleetFeed } from './fleet-feed.ts'
import { InstanceTable } from './instance-table.tsx'
import { createLoadMaker } from './load-maker.ts'
import { createSampleUploads } from './sample-uploads.ts'
import { ScalingTrial } from './scaling-trial.tsx'
import { StatTiles } from './stat-tiles.tsx'
import { words } from './words.ts'
import './fleet-page.css'

/** How much of the last hour the charts can show, in minutes. */
const ranges = [
  { minutes: 5, label: '5 min' },
  { minutes: 15, label: '15 min' },
  { minutes: 60, label: '1 hour' },
]

/** Creates the page of the fleet: what runs, how busy it is, what scaled it, and buttons to try it. */
export function createFleetPage({ client, identity }: { client: Client; identity: Identity }) {
  const feed = createFleetFeed()
  const trial = {
    loadMaker: createLoadMaker({ client }),
    sampleUploads: createSampleUploads({ client, identity }),
  }

  return function FleetPage() {
    const { cluster, problem } = feed.state.value
    const [chosen, setChosen] = useState<number>()
    const minutes = chosen ?? (cluster ? fittingMinutes(cluster) : 15)
    const signedIn = identity.signedIn.value
    // Another user may see the fleet, or may not.
    useEffect(() => feed.follow(), [signedIn])
    return (
      <>
        <PageHeader title="Fleet" note="What runs, how busy it is, and what scaled it.">
          {cluster && <RangeChoice minutes={minutes} onChoose={setChosen} />}
        </PageHeader>
        <div role="status">
          {problem === 'unreachable' && (
            <p class="fleet-notice">
              <Unplug aria-hidden="true" />
              Connection lost. Reconnecting…{cluster && ' The figures below are the last ones.'}
            </p>
          )}
          {problem === 'connecting' && !cluster && <p>Connecting…</p>}
        </div>
        {problem === 'forbidden' && <Forbidden onRetry={feed.follow} />}
        {cluster && (
          <div class={problem ? 'fleet-page is-stale' : 'fleet-page'}>
            <StatTiles cluster={cluster} />
            <ScalingTrial {...trial} mayUpload={mayUpload(signedIn)} />
            <ChartSections cluster={cluster} minutes={minutes} />
            <section aria-labelledby="instances-heading">
              <h2 id="instances-heading">Instances</h2>
              <InstanceTable cluster={cluster} />
            </section>
            <section aria-labelledby="events-heading">
              <h2 id="events-heading">
                <Explained word="Scaling events">{words.events}</Explained>
              </h2>
              <FleetEvents cluster={cluster} />
            </section>
          </div>
        )}
      </>
    )
  }
}

/** Returns the range that a fleet fills: one that has just started would fill a corner of the longer ones. */
function fittingMinutes({ at, history: [oldest] }: Cluster): number {
  const knownMs = oldest ? Date.parse(at) - Date.parse(oldest.at) : 0
  return knownMs > 5 * 60_000 ? 15 : 5
}

/** Without a credential, only the API knows whether strangers may upload. */
function mayUpload(signedIn: object | undefined): boolean {
  if (!signedIn || !('scopes' in signedIn) || !Array.isArray(signedIn.scopes)) return true
  return signedIn.scopes.includes('uploads:write')
}

function Forbidden({ onRetry }: { onRetry: () => void }) {
  return (
    <EmptyState icon={LockKeyhole} title="Only operators see the fleet">
      <p>
        Sign in with an API key of the scope <code>admin</code>. <code>npm run api-key</code> makes one.
      </p>
      <Button label="Try again" onClick={onRetry} />
    </EmptyState>
  )
}

function RangeChoice({ minutes, onChoose }: { minutes: number; onChoose: (minutes: number) => void }) {
  return (
    <fieldset class="range-choice">
      <legend class="visually-hidden">Time shown by the charts</legend>
      {ranges.map((range) => (
        <label key={range.minutes}>
          <input
            type="radio"
            name="range"
            class="visually-hidden"
            checked={range.minutes === minutes}
            onChange={() => onChoose(range.minutes)}
          />
          {range.label}
        </label>
      ))}
    </fieldset>
  )
}

function ChartSections({ cluster, minutes }: { cluster: Cluster; minutes: number }) {
  const points = useMemo(() => chartPoints(cluster), [cluster])
  const toMs = Date.parse(cluster.at)
  const span = { points, fromMs: toMs - minutes * 60_000, toMs }
  return (
    <>
      <ChartSection title="Traffic and instances" charts={trafficCharts} {...span} />
      <ChartSection title="Queue and work" charts={workCharts} {...span} />
      {!cluster.load && (
        <EmptyState icon={Activity} title="The queue is not being measured">
          <p>
            No process has published in the last ten seconds. A worker that starts takes over within a second.
          </p>
        </EmptyState>
      )}
    </>
  )
}

function ChartSection(props: {
  title: string
  charts: ChartDefinition[]
  points: ChartPoint[]
  fromMs: number
  toMs: number
}) {
  const { title, charts, ...span } = props
  return (
    <section aria-label={title}>
      <h2>{title}</h2>
      <div class="fleet-charts">
        {charts.map((definition) => (
          <FleetChart key={definition.id} definition={definition} {...span} />
        ))}
      </div>
    </section>
  )
}
