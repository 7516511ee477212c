// biome-ignore-all lint/suspicious/noTemplateCurlyInString: these are texts of files, which contain template strings
import type { KeptMutation } from '../../mutation.ts'

const room = 'packages/shared/src/network'

export const mutations: readonly KeptMutation[] = [
  {
    name: 'limits: an IPv6 address counts alone',
    file: `${room}/client-networks.ts`,
    before: '{ name: networkOf(groups, 64), share: 1 }',
    after: '{ name: networkOf(groups, 128), share: 1 }',
    effect: 'Who has an IPv6 network has no limit.',
    tests: ['shared/network/client-networks.test.ts'],
  },
  {
    name: 'limits: a site counts as much as 80 addresses',
    file: `${room}/client-networks.ts`,
    before: 'const siteShare = 8',
    after: 'const siteShare = 80',
    effect: 'Who has a /48 has ten times the documented limit.',
    tests: ['shared/network/client-networks.test.ts'],
  },
  {
    name: 'budget is released twice',
    file: `${room}/budget.ts`,
    before: '          if (isReleased) return\n',
    after: '',
    effect: 'Clients get more than their share by closing twice.',
    tests: ['shared/network/budget.test.ts'],
  },
  {
    name: 'budget has one share more',
    file: `${room}/budget.ts`,
    before: 'used + amount <= limits.instance',
    after: 'used <= limits.instance',
    effect: 'An instance takes more than it has room for.',
    tests: ['shared/network/budget.test.ts'],
  },
  {
    name: 'addresses of a /64 count apart',
    file: `${room}/client-networks.ts`,
    before: '{ name: networkOf(groups, 64), share: 1 }',
    after: '{ name: address, share: 1 }',
    effect: 'One machine has as many limits as it has IPv6 addresses.',
    tests: ['shared/network/client-networks.test.ts'],
  },
]
