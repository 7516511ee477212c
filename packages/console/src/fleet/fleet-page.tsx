import './fleet-page.css'
import { useEffect, useState } from 'preact/hooks'
import { durationText, numberText, timeText } from '../format/format-quantities.ts'
import { PageHeader } from '../frame/page-header.tsx'
import { type Cluster, type ClusterUpdate, followCluster } from './cluster.ts'
import { FleetChart } from './fleet-chart.tsx'
import { InstanceTable } from './instance-table.tsx'

const tierNames = { worker: 'Workers', api: 'API instances' }

/** The live state of the fleet: queue load, instances and scaling decisions. */
export function FleetPage() {
  const [update, setUpdate] = useState<ClusterUpdate>()
  const [cluster, setCluster] = useState<Cluster>()
  useEffect(
    () =>
      followCluster((newest) => {
        setUpdate(newest)
        if ('cluster' in newest) setCluster(newest.cluster)
      }),
    [],
  )
  const problem = update && 'problem' in update ? update.problem : undefined
  return (
    <>
      <PageHeader title="Fleet" note="The instances, their load and what scaled them." />
      <p role="status">
        {problem === 'unreachable' && 'Connection lost. Reconnecting…'}
        {!update && 'Connecting…'}
      </p>
      {problem === 'forbidden' && <Forbidden />}
      {cluster && problem !== 'forbidden' && <Fleet cluster={cluster} />}
    </>
  )
}

function Forbidden() {
  return (
    <p class="problem" role="alert">
      You need an API key with the scope admin to see the fleet. From a shell:{' '}
      <code>curl -H "authorization: Bearer $KEY" {location.origin}/admin/cluster</code>
    </p>
  )
}

function Fleet({ cluster }: { cluster: Cluster }) {
  const { load, history, instances, decisions, scaling } = cluster
  return (
    <>
      <Figures cluster={cluster} />
      {history.length > 1 && <FleetChart history={history} />}
      {scaling.map(({ tier, desired, starting, min, max, reason }) => (
        <p key={tier} class="scaling">
          <strong>
            {tierNames[tier]}: {desired}
          </strong>{' '}
          (range {min} to {max}
          {starting > 0 && `, ${starting} starting`}). {reason}.
        </p>
      ))}
      {!load && <p class="empty">No recent queue metrics: no worker is running.</p>}
      <section aria-labelledby="instances-heading">
        <h2 id="instances-heading">Instances</h2>
        <InstanceTable instances={instances} />
      </section>
      <section aria-labelledby="decisions-heading">
        <h2 id="decisions-heading">Scaling decisions</h2>
        {decisions.length === 0 && (
          <p class="empty">
            None yet. The fleet scales only within a range, for example: npm start -- --workers 1..4
          </p>
        )}
        <ol class="decisions">
          {decisions.map(({ at, tier, from, to, reason }) => (
            <li key={`${at} ${tier}`}>
              <time dateTime={at}>{timeText(Date.parse(at))}</time>{' '}
              <strong>
                {tierNames[tier]}: {from} → {to}
              </strong>{' '}
              {reason}
            </li>
          ))}
        </ol>
      </section>
    </>
  )
}

function Figures({ cluster: { load, tiers, history } }: { cluster: Cluster }) {
  const api = tiers.find(({ tier }) => tier === 'api')
  const worker = tiers.find(({ tier }) => tier === 'worker')
  const waiting = load ? load.waiting + load.prioritized + load.notRelayed : undefined
  const figures: [label: string, value: string | undefined, note: string][] = [
    ['Queue load', load ? numberText(load.load) : undefined, '(waiting + active jobs) ÷ slots'],
    ['Demand', history[0] && numberText(history[0].demand), 'arriving work ÷ slots'],
    ['Worker slots in use', worker && `${worker.busy} of ${worker.slots}`, 'one job per slot'],
    ['Waiting jobs', waiting === undefined ? undefined : String(waiting), 'in BullMQ and SQS'],
    ['Oldest waiting job', load ? durationText(load.oldestJobAgeMs) : undefined, 'time in the queue'],
    ['Finished jobs', history[0] && String(history[0].jobsFinished), 'last metric period'],
    ['Job duration', latencyText(worker?.latencyMs?.p95), 'p95, last minute'],
    ['API requests', api && numberText(api.perSecond), 'per second, last minute'],
    ['API response time', latencyText(api?.latencyMs?.p95), 'p95, last minute'],
  ]
  return (
    <dl class="figures">
      {figures.map(([label, value, note]) => (
        <div key={label}>
          <dt>{label}</dt>
          <dd>
            <strong>{value ?? '–'}</strong> <small>{note}</small>
          </dd>
        </div>
      ))}
    </dl>
  )
}

function latencyText(ms: number | undefined): string | undefined {
  return ms === undefined ? undefined : durationText(ms)
}
