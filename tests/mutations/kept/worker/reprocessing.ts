import type { KeptMutation } from '../../mutation.ts'

const room = 'packages/worker/src/reprocessing'

export const mutations: readonly KeptMutation[] = [
  {
    name: 'reprocessing: its jobs come before fresh uploads',
    file: `${room}/reprocess-outdated.ts`,
    before: 'await queue.add(job, { isBackfill: true })',
    after: 'await queue.add(job)',
    effect: 'Reprocessing delays fresh uploads.',
    tests: ['worker/reprocessing/reprocess-outdated.test.ts'],
  },
  {
    name: 'reprocessing: revived jobs come before fresh uploads',
    file: `${room}/reprocess-outdated.ts`,
    before: "if (states[i] === 'failed') await queue.revive(job, { isBackfill: true })",
    after: "if (states[i] === 'failed') await queue.revive(job)",
    effect: 'Reprocessing delays fresh uploads.',
    tests: ['worker/reprocessing/reprocess-outdated.test.ts'],
  },
  {
    name: 'reprocessing: an upload of the current preset is rendered again',
    file: `${room}/outdated.ts`,
    before: "? 'upToDate' : 'outdated'",
    after: "? 'outdated' : 'outdated'",
    effect: 'Reprocessing renders everything.',
    tests: ['worker/reprocessing/reprocess-outdated.test.ts'],
  },
  {
    name: 'reprocessing: one of a changed preset is not rendered again',
    file: `${room}/outdated.ts`,
    before: "? 'upToDate' : 'outdated'",
    after: "? 'upToDate' : 'upToDate'",
    effect: 'A changed preset has no effect on earlier uploads.',
    tests: ['worker/reprocessing/reprocess-outdated.test.ts'],
  },
  {
    name: 'reprocessing: a copy of another region is rendered here',
    file: `${room}/reprocess-outdated.ts`,
    before: "if (original.isCopy) return 'copies'",
    after: '',
    effect: 'Two regions render each file.',
    tests: ['worker/reprocessing/reprocess-outdated.test.ts'],
  },
  {
    name: 'reprocessing: ten times as many jobs wait',
    file: `${room}/backfill-slots.ts`,
    before: 'const maxWaitingJobs = 1_000',
    after: 'const maxWaitingJobs = 10_000',
    effect: 'Reprocessing fills Redis.',
    tests: ['worker/reprocessing/reprocess-outdated.test.ts'],
  },
  {
    name: 'reprocessing: its jobs are added without a limit',
    file: `${room}/backfill-slots.ts`,
    before: 'room = maxWaiting - waiting',
    after: 'room = maxWaiting',
    effect: 'Reprocessing fills Redis.',
    tests: ['worker/reprocessing/reprocess-outdated.test.ts'],
  },
]
