import { setTimeout as delay } from 'node:timers/promises'
import { SendMessageCommand, SetQueueAttributesCommand } from '@aws-sdk/client-sqs'
import type { Fleet } from './fleet.ts'
import type { HttpFault, KillPoint } from './http-faults.ts'
import type { Random } from './random.ts'

/** BullMQ's locks last 10 s, and a lock that ended is noticed up to 10 s later: both are over after this. In ms. */
const longerThanLocksMs = { least: 15_000, most: 22_000 }
/** How long a fault of the network or of storage lasts, in ms. */
const outageMs = { least: 4_000, most: 8_000 }
/** How long a kill waits for its moment in the work, in ms. */
const killPointMs = 8_000
/** How long services may keep their connections to a demoted Redis, in ms. */
const demotedMs = 15_000
/** How soon a service must have left a Redis that refused its write, in ms. */
const reconnectWithinMs = 5_000

/** Moments in the work of a worker at which it is killed. */
const workerPoints: Omit<KillPoint, 'concerns'>[] = [
  { method: 'GET', path: /^\/[^/]+\/originals\//, when: 'after' },
  { method: 'PUT', path: /^\/[^/]+\/variants\//, when: 'before' },
  { method: 'PUT', path: /^\/[^/]+\/variants\//, when: 'after' },
  { method: 'PUT', path: /^\/[^/]+\/manifests\//, when: 'before' },
  { method: 'PUT', path: /^\/[^/]+\/manifests\//, when: 'after' },
]
/** Moments in the work of an API instance at which it is killed. */
const apiPoints: Omit<KillPoint, 'concerns'>[] = [
  { method: 'PUT', path: /^\/[^/]+\/originals\//, when: 'after' },
  { method: 'POST', path: /^\/[^/]+\/originals\/.*uploadId=/, when: 'after' },
  { method: 'POST', path: /^\/[^/]+\/?\?delete/, when: 'before' },
  { method: 'POST', path: /^\/[^/]+\/?\?delete/, when: 'after' },
]

const isWrite = (method: string) => method !== 'GET' && method !== 'HEAD'
const isReceive = (target: string | undefined) => target === 'AmazonSQS.ReceiveMessage'

/** Faults of S3, as the proxy in front of it does them. About the half of the requests succeed. */
const s3Faults = {
  's3-errors': (_seen, random) => (random.chance(0.3) ? 'fail' : random.chance(0.4) ? 'refuse' : undefined),
  's3-slow': (_seen, random) => (random.chance(0.6) ? 'slow' : undefined),
  's3-resets': (_seen, random) => (random.chance(0.5) ? 'reset' : undefined),
  's3-lost-responses': ({ method }, random) => (isWrite(method) && random.chance(0.4) ? 'lose' : undefined),
  's3-truncated': ({ method }, random) => (method === 'GET' && random.chance(0.5) ? 'cut' : undefined),
  's3-disk-full': ({ method }) => (method === 'PUT' || method === 'POST' ? 'full' : undefined),
} satisfies Record<string, HttpFault>

/** Faults of SQS. A message whose response is lost stays invisible for its visibility timeout. */
const sqsFaults = {
  'sqs-swallowed': ({ target }, random) => (isReceive(target) && random.chance(0.7) ? 'lose' : undefined),
  'sqs-errors': (_seen, random) => (random.chance(0.7) ? 'fail' : undefined),
  'sqs-undeleted': ({ target }) => (target?.includes('Delete') ? 'reset' : undefined),
} satisfies Record<string, HttpFault>

/** What a fault needs. `recentKeys` returns keys of originals that S3 has received lately. */
export type FaultContext = { fleet: Fleet; random: Random; recentKeys: () => string[] }

/** Injects a fault and recovers from it. Resolves when it is over. @returns notes for the report */
export type Fault = (context: FaultContext) => Promise<string | undefined>

const httpFault =
  (tier: 's3Faults' | 'sqsFaults', decide: HttpFault): Fault =>
  async ({ fleet, random }) => {
    const end = fleet[tier].activate(decide)
    await delay(random.between(outageMs.least, outageMs.most))
    end()
    return undefined
  }

/** All faults by kind. */
export const faults = {
  'worker-kill': async (context) => killAt(context, 'worker', workerPoints),
  'worker-kill-all': async ({ fleet }) => {
    for (const name of fleet.services('worker')) fleet.kill(name)
    return undefined
  },
  'api-kill': async (context) => killAt(context, 'api', apiPoints),
  'worker-pause': async ({ fleet, random }) => {
    const { least, most } = longerThanLocksMs
    await fleet.pause(random.pick(fleet.services('worker')), random.between(least, most))
    return undefined
  },
  'api-pause': async ({ fleet, random }) => {
    const { least, most } = longerThanLocksMs
    await fleet.pause(random.pick(fleet.services('api')), random.between(least, most))
    return undefined
  },
  'redis-flush': async ({ fleet }) => {
    await fleet.redis.flush()
    return undefined
  },
  'redis-kill': async ({ fleet }) => {
    await fleet.redis.kill({ losesData: false })
    return undefined
  },
  'redis-data-loss': async ({ fleet }) => {
    await fleet.redis.kill({ losesData: true })
    return undefined
  },
  'redis-failover': async ({ fleet, random }) => {
    await fleet.redis.failOver(random.between(1_000, 4_000), { keepsConnections: false })
    return undefined
  },
  'redis-demoted': async ({ fleet, random }) => {
    await fleet.redis.failOver(random.between(500, 2_000), { keepsConnections: true })
    await delay(demotedMs)
    const stale = fleet.redis
      .closeStaleConnections()
      .filter(({ firstRefusedAtMs }) => Date.now() - firstRefusedAtMs > reconnectWithinMs)
    fleet.staleServices.push(...stale.map(({ service }) => service))
    return undefined
  },
  'redis-full': async ({ fleet, random }) => {
    await fleet.redis.fill(random.between(6_000, 12_000))
    return undefined
  },
  'redis-stall': async ({ fleet, random }) => {
    await fleet.redis.stall(random.between(3_000, 7_000))
    return undefined
  },
  'clock-jump': async ({ fleet, random }) => {
    const service = random.pick([...fleet.services('api'), ...fleet.services('worker')])
    // Less than the 15 minutes by which a signature of S3 may be off.
    const seconds = random.pick([-600, -60, 60, 600])
    await fleet.setClock(service, seconds)
    await delay(random.between(outageMs.least, outageMs.most))
    await fleet.setClock(service, 0)
    return `${service} ${seconds} s`
  },
  's3-errors': httpFault('s3Faults', s3Faults['s3-errors']),
  's3-slow': httpFault('s3Faults', s3Faults['s3-slow']),
  's3-resets': httpFault('s3Faults', s3Faults['s3-resets']),
  's3-lost-responses': httpFault('s3Faults', s3Faults['s3-lost-responses']),
  's3-truncated': httpFault('s3Faults', s3Faults['s3-truncated']),
  's3-disk-full': httpFault('s3Faults', s3Faults['s3-disk-full']),
  'sqs-swallowed': httpFault('sqsFaults', sqsFaults['sqs-swallowed']),
  'sqs-errors': httpFault('sqsFaults', sqsFaults['sqs-errors']),
  'sqs-undeleted': httpFault('sqsFaults', sqsFaults['sqs-undeleted']),
  'sqs-doubled': async ({ fleet, recentKeys }) => {
    const { sqs, queueUrl, bucket } = fleet.cloud
    for (const key of recentKeys()) {
      const body = JSON.stringify({
        Records: [
          {
            eventSource: 'aws:s3',
            eventName: 'ObjectCreated:Put',
            s3: { bucket: { name: bucket }, object: { key } },
          },
        ],
      })
      await sqs.send(new SendMessageCommand({ QueueUrl: queueUrl, MessageBody: body }))
    }
    return undefined
  },
  'sqs-delayed': async ({ fleet, random }) => {
    const { sqs, queueUrl } = fleet.cloud
    const setDelay = (seconds: string) =>
      sqs.send(new SetQueueAttributesCommand({ QueueUrl: queueUrl, Attributes: { DelaySeconds: seconds } }))
    await setDelay('15')
    await delay(random.between(outageMs.least, outageMs.most))
    await setDelay('0')
    return undefined
  },
} satisfies Record<string, Fault>

export type FaultKind = keyof typeof faults
export const faultKinds = Object.keys(faults).filter((kind): kind is FaultKind => kind in faults)

/** Kills a service in the middle of its work, or any of the tier if none gets there in time. */
async function killAt(
  { fleet, random }: FaultContext,
  tier: 'api' | 'worker',
  points: Omit<KillPoint, 'concerns'>[],
): Promise<string> {
  const names = fleet.services(tier)
  const point = random.pick(points)
  const other = random.pick(names)
  const reached = await fleet.s3Faults.nextAt(
    { ...point, concerns: (service) => names.includes(service) },
    killPointMs,
    fleet.kill,
  )
  if (reached === undefined) fleet.kill(other)
  const moment =
    reached === undefined ? 'at no particular moment' : `${point.when} ${point.method} ${point.path}`
  return `${reached ?? other} ${moment}`
}
