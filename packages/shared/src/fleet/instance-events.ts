import type { Redis } from 'ioredis'
import Type, { type Static } from 'typebox'
import { Compile } from 'typebox/compile'
import { parseJson } from '../connections/stored-json.ts'
import { fleetKey, type Heartbeat, type Heartbeats, Tier } from './heartbeats.ts'

/** What happened to an instance, as its heartbeats show it. */
export const InstanceEvent = Type.Object(
  {
    at: Type.String({ description: 'ISO 8601' }),
    tier: Tier,
    id: Type.String({ description: 'instance name' }),
    since: Type.String({ description: 'start time of the process, ISO 8601' }),
    kind: Type.Union(
      [
        Type.Literal('started'),
        Type.Literal('restarted'),
        Type.Literal('draining'),
        Type.Literal('stopped'),
        Type.Literal('lost'),
        Type.Literal('returned'),
      ],
      {
        description:
          '`restarted`: another process with the same name. `stopped`: it ended by itself, after draining. ' +
          '`lost`: its heartbeats ended without notice. `returned`: a lost process is heard again',
      },
    ),
  },
  { title: 'InstanceEvent' },
)
export type InstanceEvent = Static<typeof InstanceEvent>

/** An instance whose heartbeats ended without notice. */
export const LostInstance = Type.Object(
  {
    id: Type.String({ description: 'instance name' }),
    tier: Tier,
    since: Type.String({ description: 'start time, ISO 8601' }),
    lostAt: Type.String({ description: 'ISO 8601' }),
  },
  { title: 'LostInstance' },
)
export type LostInstance = Static<typeof LostInstance>

const KnownInstance = Type.Object({
  tier: Tier,
  since: Type.String(),
  state: Type.Union([Type.Literal('serving'), Type.Literal('draining'), Type.Literal('lost')]),
  lostAt: Type.Optional(Type.String()),
})
type KnownInstance = Static<typeof KnownInstance>

/** How many events are kept. */
const maxEvents = 100
/** How long a lost instance counts as an unhealthy one of the fleet, in ms. Its group replaces it meanwhile. */
const lostMs = 2 * 60_000
/** A process that runs for longer has not just started: whoever knew it has forgotten it. In ms. */
const newMs = 60_000
/** Expiry of what is known, and of the events, in ms. */
const knownTtlMs = 60 * 60 * 1000
const eventsTtlMs = 24 * 60 * 60 * 1000

/**
 * Finds out by heartbeats which instances start, drain, stop and get lost. On AWS, this is how the console shows what the
 * Auto Scaling groups did. The publisher of the fleet's metrics calls `update`; the next publisher continues.
 *
 *   {prefix}:{fleet}:known             hash: each instance of the last `update`, by id; expires
 *   {prefix}:{fleet}:instance-events   sorted set: events by time. What happens to a process again moves
 *                                      to its latest time, so an event has one entry, whoever finds it
 */
export function createInstanceEvents(deps: {
  redis: Redis
  prefix: string
  heartbeats: Pick<Heartbeats, 'hasStopped' | 'forgetStopped'>
}) {
  const { redis, prefix, heartbeats } = deps
  const knownKey = fleetKey(prefix, 'known')
  const eventsKey = fleetKey(prefix, 'instance-events')

  async function readKnown(): Promise<Map<string, KnownInstance>> {
    const entries = Object.entries(await redis.hgetall(knownKey))
    return new Map(entries.flatMap(([id, text]) => readInstance(text).map((known) => [id, known] as const)))
  }

  async function findLost(known: Map<string, KnownInstance>): Promise<LostInstance[]> {
    return [...known]
      .flatMap(([id, { tier, since, lostAt }]) => (lostAt ? [{ id, tier, since, lostAt }] : []))
      .sort((one, other) => (one.id < other.id ? -1 : 1))
  }

  return {
    /**
     * Compares the running processes with those of the last call, and stores what happened.
     *
     * @param nowMs ms since 1970
     * @returns the instances that are lost
     */
    async update(processes: Heartbeat[], nowMs: number): Promise<LostInstance[]> {
      const known = await readKnown()
      const next = new Map<string, KnownInstance>()
      const events: InstanceEvent[] = []
      const stoppedIds: string[] = []
      const at = new Date(nowMs).toISOString()
      const add = (id: string, { tier, since }: KnownInstance, kind: InstanceEvent['kind']) =>
        events.push({ at, tier, id, since, kind })

      for (const { id, tier, since, state } of processes) {
        const before = known.get(id)
        const instance = { tier, since, state }
        next.set(id, instance)
        if (!before) {
          if (nowMs - Date.parse(since) < newMs) add(id, instance, 'started')
        } else if (before.since !== since) add(id, instance, 'restarted')
        else if (before.state === 'lost') add(id, instance, 'returned')
        if (state === 'draining' && before?.state !== 'draining') add(id, instance, 'draining')
      }
      for (const [id, before] of known) {
        if (next.has(id)) continue
        if (await heartbeats.hasStopped({ id, since: before.since })) {
          stoppedIds.push(id)
          add(id, before, 'stopped')
        } else if (before.lostAt === undefined) {
          next.set(id, { ...before, state: 'lost', lostAt: at })
          add(id, before, 'lost')
        } else if (nowMs - Date.parse(before.lostAt) < lostMs) next.set(id, before)
      }
      await store(known, next, events)
      await heartbeats.forgetStopped(stoppedIds)
      return findLost(next)
    },
    /** Returns the instances that the last `update` found lost, sorted by id. */
    lost: async () => findLost(await readKnown()),
    /** Returns the latest events, newest first. */
    async events(): Promise<InstanceEvent[]> {
      const entries = await redis.zrevrange(eventsKey, 0, -1, 'WITHSCORES')
      return entries.flatMap((text, index) =>
        index % 2 === 0 ? readEvent(text, Number(entries[index + 1])) : [],
      )
    },
  }

  async function store(
    known: Map<string, KnownInstance>,
    next: Map<string, KnownInstance>,
    events: InstanceEvent[],
  ): Promise<void> {
    const transaction = redis.multi()
    for (const id of known.keys()) if (!next.has(id)) transaction.hdel(knownKey, id)
    for (const [id, instance] of next) {
      const text = JSON.stringify(instance)
      const before = known.get(id)
      if (!before || JSON.stringify(before) !== text) transaction.hset(knownKey, id, text)
    }
    transaction.pexpire(knownKey, knownTtlMs)
    for (const { at, ...event } of events) {
      transaction.zadd(eventsKey, Date.parse(at), JSON.stringify(event))
    }
    if (events.length > 0) {
      transaction.zremrangebyrank(eventsKey, 0, -maxEvents - 1).pexpire(eventsKey, eventsTtlMs)
    }
    const results = (await transaction.exec()) ?? []
    for (const [error] of results) if (error) throw error
  }
}

export type InstanceEvents = ReturnType<typeof createInstanceEvents>

const knownInstance = Compile(KnownInstance)
const instanceEvent = Compile(InstanceEvent)

function readInstance(text: string): KnownInstance[] {
  const entry: unknown = parseJson(text)
  return knownInstance.Check(entry) ? [entry] : []
}

function readEvent(text: string, atMs: number): InstanceEvent[] {
  const entry: unknown = parseJson(text)
  if (typeof entry !== 'object') return []
  const event: unknown = { at: new Date(atMs).toISOString(), ...entry }
  return instanceEvent.Check(event) ? [event] : []
}
