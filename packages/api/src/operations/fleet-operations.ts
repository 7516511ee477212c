import { type Operations, securityRequirements } from './operation.ts'

const at = '2026-11-25T12:00:00.000Z'
const latencyMs = { p50: 12.5, p95: 41, p99: 88.2 }
const worker = {
  id: 'worker-1',
  tier: 'worker',
  state: 'serving',
  since: at,
  version: '0.1.0',
  cpuPercent: 87.5,
  rssBytes: 301_989_888,
  slots: 4,
  busy: 3,
  perSecond: 4.2,
  errorsPerMinute: 0,
  latencyMs,
}
const workerPoint = {
  serving: 1,
  total: 1,
  cpuPercent: 87.5,
  perMinute: 252,
  errorsPerMinute: 0,
  latencyMs,
  busy: 3,
}
const point = {
  at,
  periodMs: 10_000,
  api: { ...workerPoint, serving: 0, total: 0, cpuPercent: null, perMinute: 0, latencyMs: null, busy: 0 },
  worker: workerPoint,
  queue: {
    load: 0.8,
    demand: 0.7,
    waiting: 0.1,
    active: 3.1,
    delayed: 0,
    notRelayed: 0,
    failed: 0,
    slots: 4,
    oldestJobAgeMs: 130,
  },
  uploads: { ready: 41, rejected: 1, failed: 0, bytes: 126_000_000 },
}
const cluster = {
  at,
  tiers: [
    {
      ...{ tier: 'worker', instances: 1, serving: 1, lost: 0, cpuPercent: 87.5, slots: 4, busy: 3 },
      ...{ perSecond: 4.2, errorsPerMinute: 0, latencyMs },
    },
    {
      ...{ tier: 'api', instances: 0, serving: 0, lost: 0, cpuPercent: null, slots: 0, busy: 0 },
      ...{ perSecond: 0, errorsPerMinute: 0, latencyMs: null },
    },
  ],
  instances: [worker],
  load: {
    ...{ at, load: 0.75, waiting: 0, prioritized: 0, active: 3, delayed: 0, failed: 0, notRelayed: 0 },
    ...{ slots: 4, oldestJobAgeMs: 0 },
  },
  demand: 0.7,
  history: [point],
  lost: [],
  scaling: [
    {
      tier: 'worker',
      at,
      min: 1,
      max: 4,
      desired: 1,
      inService: 1,
      starting: 0,
      reason: 'Load 0.8 is within bounds',
    },
  ],
  decisions: [{ at, tier: 'worker', from: 2, to: 1, reason: 'Load 0.12 is at most 0.4: 50 % less' }],
  events: [{ at, tier: 'worker', id: 'worker-2', since: at, kind: 'stopped' }],
}

export const fleetOperations: Operations = {
  'GET /admin/cluster': {
    operationId: 'getCluster',
    summary: 'Read the state of the whole fleet',
    description:
      'All running instances, the queue load, the last hour in points of ten seconds, what happened to instances, and ' +
      'the decisions of the local autoscaler. ' +
      'Percentiles are computed from all requests of a tier, not averaged over instances.',
    tag: 'operation',
    security: securityRequirements.admin,
    responses: { 200: { description: 'The current state of the fleet.', example: cluster } },
    errors: [],
  },
  'GET /admin/cluster/events': {
    operationId: 'watchCluster',
    summary: 'Follow the state of the whole fleet',
    description:
      'Sends an event `cluster` first: its data is the response body of `GET /admin/cluster`. Then it sends an event ' +
      '`cluster-change` each second, with the properties that have changed. `history` has new points only; all other ' +
      'properties are whole.',
    tag: 'operation',
    security: securityRequirements.admin,
    responses: {
      200: {
        description: 'Server-sent events until the client disconnects.',
        content: {
          'text/event-stream': {
            schema: { type: 'string' },
            example: `retry: 2000\n\nid: ${at}\nevent: cluster-change\ndata: {"at":"${at}"}\n\n`,
          },
        },
      },
    },
    errors: ['too_many_streams'],
  },
  'GET /load/:ms': {
    operationId: 'burnCpu',
    summary: 'Keep a core busy',
    description:
      'Burns CPU in a separate thread for the given time in ms, at most 10,000, to try out scaling of the API tier. ' +
      'An instance runs at most as many burns at once as it has cores. Further requests fail with `rate_limited`.',
    tag: 'operation',
    security: securityRequirements.admin,
    parameters: { ms: 500 },
    responses: { 200: { description: 'The CPU burn has ended.', example: { ms: 500, servedBy: 'api-1' } } },
    errors: ['invalid_request'],
  },
}
