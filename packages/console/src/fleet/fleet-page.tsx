import './fleet-page.css'
import { useEffect, useState } from 'preact/hooks'
import { durationText, momentText, shortNumber } from '../format.ts'
import { type Cluster, type ClusterNews, followCluster } from './cluster.ts'
import { FleetChart } from './fleet-chart.tsx'
import { InstanceTable } from './instance-table.tsx'

/** What the fleet does, live: instances, load, queue, and what the autoscaler made of it. */
export function FleetPage() {
  const [news, setNews] = useState<ClusterNews>()
  const [cluster, setCluster] = useState<Cluster>()
  useEffect(
    () =>
      followCluster((told) => {
        setNews(told)
        if ('cluster' in told) setCluster(told.cluster)
      }),
    [],
  )
  const problem = news && 'problem' in news ? news.problem : undefined
  return (
    <>
      <header>
        <h1>Fleet</h1>
        <p>
          <a href="/">Your uploads</a>
        </p>
      </header>
      <main>
        <p role="status">
          {problem === 'unreachable' && 'No connection. Trying again…'}
          {!news && 'Connecting…'}
        </p>
        {problem === 'forbidden' && <Forbidden />}
        {cluster && problem !== 'forbidden' && <Fleet cluster={cluster} />}
      </main>
    </>
  )
}

function Forbidden() {
  return (
    <p class="problem" role="alert">
      Here the fleet is shown to API keys of the scope admin only:{' '}
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
            {desired} {tier === 'worker' ? 'workers' : 'API instances'}
          </strong>{' '}
          of {min} to {max}
          {starting > 0 && `, ${starting} starting`}: {reason}.
        </p>
      ))}
      {!load && <p class="empty">Nobody has looked at the queue lately: there is no worker.</p>}
      <section aria-labelledby="instances-heading">
        <h2 id="instances-heading">Instances</h2>
        <InstanceTable instances={instances} />
      </section>
      <section aria-labelledby="decisions-heading">
        <h2 id="decisions-heading">Decisions</h2>
        {decisions.length === 0 && (
          <p class="empty">None. A range lets the fleet scale: npm start -- --workers 1..4</p>
        )}
        <ol class="decisions">
          {decisions.map(({ at, tier, from, to, reason }) => (
            <li key={`${at} ${tier}`}>
              <time dateTime={at}>{momentText(Date.parse(at))}</time>{' '}
              <strong>
                {tier === 'worker' ? 'Workers' : 'API'} {from} → {to}
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
  const figures: [name: string, value: string | undefined, unit: string][] = [
    ['Load', load ? shortNumber(load.load) : undefined, 'jobs for each slot'],
    ['Demand', history[0] && shortNumber(history[0].demand), 'slots that arrivals fill, for each'],
    ['Waiting', waiting === undefined ? undefined : String(waiting), 'jobs'],
    ['Busy', worker && `${worker.busy} of ${worker.slots}`, 'worker slots'],
    ['Oldest', load ? durationText(load.oldestJobAgeMs) : undefined, 'has waited'],
    ['Finished', history[0] && String(history[0].jobsFinished), 'jobs in the last period'],
    ['Jobs take', latencyText(worker?.latencyMs?.p95), 'p95 of a minute'],
    ['API', api && shortNumber(api.perSecond), 'requests a second'],
    ['Requests take', latencyText(api?.latencyMs?.p95), 'p95 of a minute'],
  ]
  return (
    <dl class="figures">
      {figures.map(([name, value, unit]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>
            <strong>{value ?? '–'}</strong> <small>{unit}</small>
          </dd>
        </div>
      ))}
    </dl>
  )
}

function latencyText(ms: number | undefined): string | undefined {
  return ms === undefined ? undefined : durationText(ms)
}
