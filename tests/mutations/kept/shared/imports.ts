import type { KeptMutation } from '../../mutation.ts'

const room = 'packages/shared/src/imports'

export const mutations: readonly KeptMutation[] = [
  {
    name: 'imports: metadata services can be allowed',
    file: `${room}/public-address.ts`,
    before: 'if (neverAllowed.some((block) => contains(block, address))) return false',
    after: '',
    effect: 'An operator who allows 169.254.0.0/16 gives away the credentials of the instance.',
    tests: ['shared/imports/public-address.test.ts'],
  },
  {
    name: 'imports: an IPv4 address within IPv6 is not seen',
    file: `${room}/public-address.ts`,
    before: 'if (address.isIPv4MappedAddress()) return address.toIPv4Address()',
    after: '',
    effect: 'A public address in mapped form is refused.',
    tests: ['shared/imports/public-address.test.ts'],
  },
  {
    name: 'imports: any port is allowed',
    file: `${room}/source-url.ts`,
    before: 'if (!allowedPorts.includes(portOf(url))) return',
    after: 'if (false) return',
    effect: 'Imports scan for services.',
    tests: ['worker/imports/fetch-source.test.ts'],
  },
]
