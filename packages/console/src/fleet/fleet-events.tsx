import {
  ArrowDown,
  ArrowUp,
  CircleCheck,
  CirclePause,
  CirclePlay,
  CircleStop,
  RefreshCw,
  TriangleAlert,
} from 'lucide-preact'
import { useState } from 'preact/hooks'
import { Button } from '../design/button.tsx'
import type { Cluster, TierName } from './fleet-feed.ts'
import './fleet-events.css'

type Decision = Cluster['decisions'][number]
type InstanceEvent = Cluster['events'][number]
type Entry = { key: string; at: string; icon: typeof ArrowUp; title: string; reason: string; isBad?: boolean }

/** How many entries are shown at first. */
const shownAtFirst = 8
const dayMs = 24 * 60 * 60 * 1000

const tierNames: Record<TierName, string> = { api: 'API instances', worker: 'Workers' }
const kinds: Record<
  InstanceEvent['kind'],
  { icon: typeof ArrowUp; title: string; reason: string; isBad?: boolean }
> = {
  started: { icon: CirclePlay, title: 'started', reason: '' },
  restarted: { icon: RefreshCw, title: 'started again', reason: 'The process before ended.' },
  draining: { icon: CirclePause, title: 'drains', reason: 'It finishes its work and takes no more.' },
  stopped: { icon: CircleStop, title: 'stopped', reason: 'It ended by itself, after draining.' },
  lost: {
    icon: TriangleAlert,
    title: 'is lost',
    reason: 'Its heartbeats ended without notice.',
    isBad: true,
  },
  returned: { icon: CircleCheck, title: 'responds again', reason: '' },
}

/** What scaled the fleet and why, and what happened to instances, newest first. */
export function FleetEvents({ cluster }: { cluster: Cluster }) {
  const { decisions, events, scaling, at } = cluster
  const [showsAll, setShowsAll] = useState(false)
  const entries = [...decisions.map(decisionEntry), ...events.map(eventEntry)].sort((one, other) =>
    one.at < other.at ? 1 : -1,
  )
  const sinceMs = Date.parse(at) - dayMs
  const recent = decisions.filter((decision) => Date.parse(decision.at) > sinceMs)
  const out = recent.filter(({ from, to }) => to > from).length
  return (
    <>
      <p class="fleet-events-summary">
        Last 24 hours: scaled out {times(out)}, scaled in {times(recent.length - out)}.{' '}
        {scaling.length === 0 && decisions.length === 0 && (
          <>
            The local autoscaler runs within a range, for example <code>npm start -- --workers 1..4</code>. On
            AWS, the Auto Scaling groups decide.
          </>
        )}
      </p>
      {scaling.map(({ tier, desired, starting, min, max, reason }) => (
        <p key={tier} class="fleet-events-summary">
          <strong>
            {tierNames[tier]}: {desired}
          </strong>{' '}
          of {min} to {max}
          {starting > 0 && `, ${starting} starting`}. The autoscaler now says: {reason}.
        </p>
      ))}
      <ol class="fleet-events">
        {(showsAll ? entries : entries.slice(0, shownAtFirst)).map(
          ({ key, at, icon: Icon, title, reason, isBad }) => (
            <li key={key} class={isBad ? 'is-bad' : ''}>
              <Icon aria-hidden="true" />
              <strong>{title}</strong>
              <span>{reason}</span>
              <time dateTime={at}>{clockText(at)}</time>
            </li>
          ),
        )}
      </ol>
      {entries.length === 0 && <p class="fleet-events-summary">Nothing happened yet.</p>}
      {entries.length > shownAtFirst && (
        <Button
          label={showsAll ? 'Show fewer' : `Show all ${entries.length}`}
          look="quiet"
          onClick={() => setShowsAll(!showsAll)}
        />
      )}
    </>
  )
}

function decisionEntry({ at, tier, from, to, reason }: Decision): Entry {
  return {
    key: `${at} ${tier}`,
    at,
    icon: to > from ? ArrowUp : ArrowDown,
    title: `${tierNames[tier]}: ${from} → ${to}`,
    reason: `${reason}.`,
  }
}

function eventEntry({ at, id, since, kind }: InstanceEvent): Entry {
  const { title, ...rest } = kinds[kind]
  return { key: `${id} ${since} ${kind}`, at, title: `${id} ${title}`, ...rest }
}

function times(count: number): string {
  return count === 1 ? 'once' : `${count} times`
}

const clock = new Intl.DateTimeFormat(undefined, { timeStyle: 'medium' })
const dayAndClock = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' })

function clockText(at: string): string {
  const date = new Date(at)
  return (date.toDateString() === new Date().toDateString() ? clock : dayAndClock).format(date)
}
