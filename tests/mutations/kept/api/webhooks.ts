import type { KeptMutation } from '../../mutation.ts'

const room = 'packages/api/src/webhooks'

export const mutations: readonly KeptMutation[] = [
  {
    name: 'a route of webhooks needs no scope of the tenant',
    file: `${room}/delivery-routes.ts`,
    before: "const config = { scope: 'tenant' } as const",
    after: "const config = { scope: 'uploads:read' } as const",
    effect: "A browser's read token sees and replays the deliveries of the tenant.",
    tests: ['api/identity/route-scopes.test.ts'],
  },
  {
    name: 'a replaced secret is valid for ten days',
    file: `${room}/webhook-secret.ts`,
    before: 'const overlapMs = 24 * 60 * 60 * 1000',
    after: 'const overlapMs = 240 * 60 * 60 * 1000',
    effect: 'A leaked secret signs events for ten days after it was replaced.',
    tests: ['api/webhooks/webhook-secret.test.ts'],
  },
  {
    name: 'a rotation drops the replaced secret',
    file: `${room}/webhook-secret.ts`,
    before: '...(replaced ? [replaced] : [])]',
    after: '...(replaced ? [] : [])]',
    effect: 'Receivers refuse all events until they have the new secret.',
    tests: ['api/webhooks/webhook-secret.test.ts'],
  },
  {
    name: 'secrets that have ended are shown as valid',
    file: `${room}/webhook-secret.ts`,
    before: 'endsAt === undefined || Date.parse(endsAt) > now.getTime()',
    after: "endsAt === undefined || endsAt !== ''",
    effect: 'An operator keeps a secret in its receiver that signs nothing any more.',
    tests: ['api/webhooks/webhook-secret.test.ts'],
  },
  {
    name: 'a webhook of a private address is made by a change',
    file: `${room}/webhook-routes.ts`,
    before: 'if (body.url !== undefined) checkUrl(body.url)',
    after: 'if (body.url === undefined) checkUrl("https://example.org")',
    effect: 'A tenant makes the worker call addresses of its own network.',
    tests: ['api/webhooks/webhook-routes.test.ts'],
  },
  {
    name: 'a tenant may have two hundred webhooks',
    file: `${room}/create-webhook.ts`,
    before: 'export const maxWebhooksPerTenant = 20',
    after: 'export const maxWebhooksPerTenant = 200',
    effect: 'Each event of a tenant makes two hundred requests.',
    tests: ['api/webhooks/webhook-routes.test.ts'],
  },
]
