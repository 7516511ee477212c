import { access, type Operations } from './operation.ts'

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
  latencyMs,
}
const cluster = {
  at,
  tiers: [
    { tier: 'worker', instances: 1, serving: 1, slots: 4, busy: 3, perSecond: 4.2, latencyMs },
    { tier: 'api', instances: 0, serving: 0, slots: 0, busy: 0, perSecond: 0, latencyMs: null },
  ],
  instances: [worker],
  load: { at, load: 0.75, waiting: 0, prioritized: 0, active: 3, notRelayed: 0, slots: 4, oldestJobAgeMs: 0 },
  history: [
    {
      at,
      load: 0.8,
      demand: 0.7,
      queueDepth: 0.1,
      oldestJobAgeMs: 130,
      jobsFinished: 42,
      jobDurationMs: 710,
      slots: 4,
    },
  ],
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
}

export const fleetOperations: Operations = {
  'GET /admin/cluster': {
    operationId: 'getCluster',
    summary: 'Look at the whole fleet',
    description:
      'Every process that lives, the load of the worker tier, and what the local autoscaler made of it. ' +
      'Percentiles are those of all requests together, not an average of instances.',
    tag: 'operation',
    security: access.admin,
    answers: { 200: { description: 'The fleet as it is now.', example: cluster } },
    errors: ['cross_site'],
  },
  'GET /admin/cluster/events': {
    operationId: 'watchCluster',
    summary: 'Watch the whole fleet',
    description: 'An event `cluster` each second, whose data is what `GET /admin/cluster` answers.',
    tag: 'operation',
    security: access.admin,
    answers: {
      200: {
        description: 'Server-sent events until the client leaves.',
        content: {
          'text/event-stream': {
            schema: { type: 'string' },
            example: `retry: 2000\n\nid: ${at}\nevent: cluster\ndata: {"at":"${at}"}\n\n`,
          },
        },
      },
    },
    errors: ['cross_site'],
  },
  'GET /load/:ms': {
    operationId: 'burnCpu',
    summary: 'Keep a core busy',
    description:
      'For as many milliseconds, at most 10,000, in a thread of its own: to see the API tier scale. ' +
      'An instance does as many at once as it has cores, and answers others `rate_limited`.',
    tag: 'operation',
    security: access.admin,
    parameters: { ms: 500 },
    answers: { 200: { description: 'It was busy.', example: { ms: 500, servedBy: 'api-1' } } },
    errors: ['cross_site', 'invalid_request'],
  },
}
