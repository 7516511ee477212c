import type { KeptMutation } from '../../mutation.ts'

const room = 'packages/worker/src/instance'

export const mutations: readonly KeptMutation[] = [
  {
    name: 'instance: heartbeats are rarer than the timeout of the hook',
    file: `${room}/drain-instance.ts`,
    before: 'export const defaultHeartbeatMs = 10_000',
    after: 'export const defaultHeartbeatMs = 100_000',
    effect: 'The group terminates an instance that is still draining.',
    tests: ['worker/jobs/drain.test.ts'],
  },
  {
    name: 'instance: a Spot instance works until its last second',
    file: `${room}/drain-instance.ts`,
    before: 'const spotReserveMs = 15_000',
    after: 'const spotReserveMs = 0',
    effect: 'Jobs of an interrupted instance are not handed back.',
    tests: ['worker/jobs/drain.test.ts'],
  },
  {
    name: 'instance: the hook is completed before the jobs are done',
    file: `${room}/drain-instance.ts`,
    before: 'await drainWorker(drainDeadlineMs)\n    } finally {',
    after: 'await hook.complete()\n      await drainWorker(drainDeadlineMs)\n    } finally {',
    effect: 'The group terminates an instance that is still draining.',
    tests: ['worker/jobs/drain.test.ts'],
  },
  {
    name: 'instance: the token of the metadata lasts a minute',
    file: `${room}/instance-metadata.ts`,
    before: 'const tokenSeconds = 21_600',
    after: 'const tokenSeconds = 216_000',
    effect: 'The metadata service refuses the token, and no notice is seen.',
    tests: ['worker/jobs/drain.test.ts'],
  },
  {
    name: 'instance: scale-in protection is not removed',
    file: `${room}/scale-in-protection.ts`,
    before: 'const isRequired = oldestJob.ageMs() >= longWorkMs',
    after: 'const isRequired = isProtected || oldestJob.ageMs() >= longWorkMs',
    effect: 'A fleet never shrinks.',
    tests: ['worker/jobs/drain.test.ts'],
  },
]
