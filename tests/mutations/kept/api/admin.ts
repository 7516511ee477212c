import type { KeptMutation } from '../../mutation.ts'

const room = 'packages/api/src/admin'

export const mutations: readonly KeptMutation[] = [
  {
    name: 'dead letters need uploads:read only',
    file: `${room}/dead-letter-routes.ts`,
    before: "const config = { scope: 'admin' } as const",
    after: "const config = { scope: 'uploads:read' } as const",
    effect: 'Any key sees the object keys of all tenants in dead letters.',
    tests: ['api/identity/route-scopes.test.ts'],
  },
]
