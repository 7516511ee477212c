import type { KeptMutation } from '../../mutation.ts'

const room = 'packages/worker/src/withdrawals'

export const mutations: readonly KeptMutation[] = [
  {
    name: 'withdrawals: forgotten before the CDN was asked',
    file: `${room}/withdraw-variants.ts`,
    before: 'if (loadCdn && !(await (await loadCdn()).invalidate(paths, referenceOf(covered)))) {',
    after:
      'await Promise.all(covered.map(withdrawals.remove))\n    if (loadCdn && !(await (await loadCdn()).invalidate(paths, referenceOf(covered)))) {',
    effect: 'A CDN serves a withdrawn picture for a year.',
    tests: ['worker/withdrawals/withdraw-variants.test.ts'],
  },
  {
    name: 'withdrawals: variants that the manifest names are deleted',
    file: `${room}/withdraw-variants.ts`,
    before: 'return ({ key }) => withdrawn.has(key) && !named.has(key)',
    after: 'return ({ key }) => withdrawn.has(key)',
    effect: 'A ready upload loses its variants.',
    tests: ['worker/withdrawals/withdraw-variants.test.ts'],
  },
  {
    name: 'withdrawals: the manifest is waited for ten times as long',
    file: `${room}/withdraw-variants.ts`,
    before: 'const manifestWaitMs = 60_000',
    after: 'const manifestWaitMs = 600_000',
    effect: 'Withdrawals of manifests that were not written are looked at for ten minutes.',
    tests: ['worker/withdrawals/withdraw-variants.test.ts'],
  },
  {
    name: 'withdrawals: the manifest is not waited for',
    file: `${room}/withdraw-variants.ts`,
    before: 'return !isNamed || listed.changedAtMs + manifestWaitMs < Date.now()',
    after: 'return true',
    effect: 'A withdrawal that is seen before its manifest is forgotten, and the CDN serves the picture.',
    tests: ['worker/withdrawals/withdraw-variants.test.ts'],
  },
  {
    name: 'withdrawals: one path more than CloudFront takes',
    file: `${room}/withdraw-variants.ts`,
    before: 'if (paths.length === maxPaths) break',
    after: 'if (paths.length > maxPaths) break',
    effect: 'CloudFront refuses invalidations with too many paths.',
    tests: ['worker/withdrawals/withdraw-variants.test.ts'],
  },
]
