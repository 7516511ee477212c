import type { KeptMutation } from '../../mutation.ts'

const room = 'packages/api/src'

export const mutations: readonly KeptMutation[] = [
  {
    name: 'admin is open by default',
    file: `${room}/config.ts`,
    before: 'OPEN_ADMIN: Type.Boolean({ default: false })',
    after: 'OPEN_ADMIN: Type.Boolean({ default: true })',
    effect: 'Anyone manages the queues.',
    tests: ['shared/config/variable-bounds.test.ts'],
  },
  {
    name: 'strangers upload by default',
    file: `${room}/config.ts`,
    before: "Type.Enum(['on', 'off'], { default: 'off' })",
    after: "Type.Enum(['on', 'off'], { default: 'on' })",
    effect: 'Anyone stores files at the cost of the owner.',
    tests: ['shared/config/variable-bounds.test.ts'],
  },
  {
    name: 'streams of an owner are limited as those of an address',
    file: `${room}/config.ts`,
    before: 'owner: variables.MAX_EVENT_STREAMS_PER_OWNER,',
    after: 'owner: variables.MAX_EVENT_STREAMS_PER_ADDRESS,',
    effect: 'One owner takes five times its streams.',
    tests: ['shared/config/variable-bounds.test.ts'],
  },
  {
    name: 'rate of an address is that of an owner',
    file: `${room}/config.ts`,
    before: 'rateLimitPerAddressPerMinute: variables.RATE_LIMIT_PER_ADDRESS_PER_MINUTE,',
    after: 'rateLimitPerAddressPerMinute: variables.RATE_LIMIT_PER_MINUTE,',
    effect: 'Offices behind one address are refused.',
    tests: ['shared/config/variable-bounds.test.ts'],
  },
  {
    name: 'session life without a bound',
    file: `${room}/config.ts`,
    before: 'minimum: 60_000 }),',
    after: 'minimum: 6 }),',
    effect: 'A life in seconds is accepted, and sessions end at once.',
    tests: ['shared/config/variable-bounds.test.ts'],
  },
]
