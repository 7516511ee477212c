import type { KeptMutation } from '../../mutation.ts'

const room = 'packages/shared/src/webhooks'

export const mutations: readonly KeptMutation[] = [
  {
    name: 'a webhook changes by the last writer',
    file: `${room}/webhook-store.ts`,
    before: 'if (await changing(tenant, () => objects.writeIf(key, next, stored))) return next',
    after: 'if (await changing(tenant, () => objects.write(key, next))) return next',
    effect: 'A rotation of secrets and a change at the same time lose one of both.',
    tests: ['shared/webhooks/webhook-store.test.ts'],
  },
  {
    name: 'a disabled webhook gets events',
    file: `${room}/outbox.ts`,
    before: '.some(({ enabled, events }) => enabled && events.includes(type))',
    after: '.some(({ events }) => events.includes(type))',
    effect: 'The outbox fills with events that nobody wants.',
    tests: ['shared/webhooks/outbox.test.ts'],
  },
  {
    name: 'two outcomes of one upload are one event',
    file: `${room}/outbox.ts`,
    before: "update([type, owner, uploadId, cause].join('\\0'))",
    after: "update([type, owner, uploadId].join('\\0'))",
    effect: 'A receiver takes the second outcome of an upload for a repetition and ignores it.',
    tests: ['shared/webhooks/outbox.test.ts'],
  },
  {
    name: 'the log of deliveries ends after a day',
    file: `${room}/delivery-log.ts`,
    before: 'const lifeMs = 7 * 24 * 60 * 60 * 1000',
    after: 'const lifeMs = 24 * 60 * 60 * 1000',
    effect: 'A weekend after a failure, its events cannot be replayed.',
    tests: ['shared/webhooks/delivery-log.test.ts'],
  },
  {
    name: 'the log of deliveries keeps two thousand entries',
    file: `${room}/delivery-log.ts`,
    before: 'const maxDeliveries = 200',
    after: 'const maxDeliveries = 2_000',
    effect: 'Each webhook takes ten times as much of Redis.',
    tests: ['shared/webhooks/delivery-log.test.ts'],
  },
  {
    name: 'webhooks: a list is kept for a minute',
    file: `${room}/webhook-store.ts`,
    before: 'const listLifeMs = 5_000',
    after: 'const listLifeMs = 60_000',
    effect: 'Events of a minute after its creation do not reach a webhook.',
    tests: ['shared/webhooks/webhook-store.test.ts'],
  },
  {
    name: 'webhooks: a change leaves the kept list as it was',
    file: `${room}/webhook-store.ts`,
    before: '      lists.delete(tenant)\n    }',
    after: '    }',
    effect: 'The page of webhooks shows a deleted one.',
    tests: ['shared/webhooks/webhook-store.test.ts'],
  },
]
