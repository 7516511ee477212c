import type { KeptMutation } from '../../mutation.ts'

const room = 'packages/client/src/webhooks'

export const mutations: readonly KeptMutation[] = [
  {
    name: 'only the first of several secrets is tried',
    file: `${room}/verify-webhook.ts`,
    before: 'if (!reasons.includes(undefined)) {',
    after: 'if (reasons[0] !== undefined) {',
    effect: 'A receiver refuses events while its secrets rotate.',
    tests: ['client/verify-webhook.test.ts'],
  },
  {
    name: 'a forged event is accepted',
    file: `${room}/verify-webhook.ts`,
    before: 'if (!reasons.includes(undefined)) {',
    after: 'if (reasons.length === 0) {',
    effect: 'Anybody sends events to a receiver.',
    tests: ['client/verify-webhook.test.ts'],
  },
]
