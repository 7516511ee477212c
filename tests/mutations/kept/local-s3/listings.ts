import type { KeptMutation } from '../../mutation.ts'

const room = 'packages/local-s3/src/listings'

export const mutations: readonly KeptMutation[] = [
  {
    name: 'a page of a listing has one entry more',
    file: `${room}/common-prefixes.ts`,
    before: 'if (entries.length + commonPrefixes.length >= size)',
    after: 'if (entries.length + commonPrefixes.length > size)',
    effect: 'MaxKeys has no exact meaning.',
    tests: ['local-s3/listings/listing.test.ts'],
  },
  {
    name: 'common prefixes do not count for the size of a page',
    file: `${room}/common-prefixes.ts`,
    before: 'if (entries.length + commonPrefixes.length >= size)',
    after: 'if (entries.length >= size)',
    effect: 'A page can have any number of common prefixes.',
    tests: ['local-s3/listings/listing.test.ts'],
  },
  {
    name: 'the last page is said to be truncated',
    file: `${room}/common-prefixes.ts`,
    before: '  return { entries, commonPrefixes, last, truncated: false }\n}',
    after:
      '  return { entries, commonPrefixes, last, truncated: entries.length + commonPrefixes.length === size }\n}',
    effect: 'Clients ask for one page more.',
    tests: ['local-s3/listings/listing.test.ts'],
  },
  {
    name: 'a page has at most 10,000 entries',
    file: `${room}/listing.ts`,
    before: 'const maxPageSize = 1000',
    after: 'const maxPageSize = 10_000',
    effect: 'Code that forgets the second page works locally and fails on AWS.',
    tests: ['local-s3/listings/listing.test.ts'],
  },
]
