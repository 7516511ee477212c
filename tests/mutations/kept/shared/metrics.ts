import type { KeptMutation } from '../../mutation.ts'

const room = 'packages/shared/src/metrics'

export const mutations: readonly KeptMutation[] = [
  {
    name: 'bound of a bucket is outside',
    file: `${room}/tallies.ts`,
    before: 'value > (buckets[bucket] ?? 0)',
    after: 'value >= (buckets[bucket] ?? 0)',
    effect: 'Percentiles of Prometheus are a bucket too high.',
    tests: ['shared/metrics/metrics.test.ts'],
  },
  {
    name: 'buckets are not cumulative',
    file: `${room}/tallies.ts`,
    before: '          count += inBucket\n',
    after: '          count = inBucket\n',
    effect: 'Percentiles of Prometheus are nonsense.',
    tests: ['shared/metrics/metrics.test.ts'],
  },
  {
    name: 'age of a job in milliseconds',
    file: `${room}/watch-queue.ts`,
    before: 'sample && sample.oldestJobAgeMs / 1000',
    after: 'sample && sample.oldestJobAgeMs',
    effect: 'Alerts on waiting jobs ring for a job of a second.',
    tests: ['shared/metrics/metrics.test.ts'],
  },
  {
    name: 'queue of long ago',
    file: `${room}/metrics.ts`,
    before: 'if (value === undefined) gauge.remove(...values)\n    else gauge',
    after: 'if (value !== undefined) gauge',
    effect: 'Prometheus shows the queue of an hour ago while nobody samples it.',
    tests: ['shared/metrics/metrics.test.ts'],
  },
  {
    name: 'refusals are failures',
    file: `${room}/call-outcome.ts`,
    before: "? 'refused' : 'failed'",
    after: "? 'failed' : 'failed'",
    effect: 'Alerts on S3 ring for each upload whose object does not exist yet.',
    tests: ['shared/metrics/metrics.test.ts'],
  },
  {
    name: 'metrics accept writes',
    file: `${room}/metrics-server.ts`,
    before: "if (method !== 'GET' && method !== 'HEAD') {",
    after: "if (method === 'OPTIONS') {",
    effect: 'Odd requests are answered with all metrics.',
    tests: ['shared/metrics/metrics.test.ts'],
  },
]
