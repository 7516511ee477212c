import type { KeptMutation } from '../../mutation.ts'

const room = 'packages/shared/src/config'

export const mutations: readonly KeptMutation[] = [
  {
    name: 'buffers without a least size',
    file: `${room}/service-variables.ts`,
    before: 'minimum: 32 * MiB',
    after: 'minimum: 3 * MiB',
    effect: 'A part does not fit, and uploads wait for ever.',
    tests: ['shared/config/variable-bounds.test.ts'],
  },
]
