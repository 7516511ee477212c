import type { KeptMutation } from '../../mutation.ts'

const room = 'packages/local-s3/src/protocol'

export const mutations: readonly KeptMutation[] = [
  {
    name: 'a range has one byte more',
    file: `${room}/byte-range.ts`,
    before: 'Math.min(Number(last), size - 1)',
    after: 'Math.min(Number(last) + 1, size - 1)',
    effect: 'A download in ranges has bytes twice.',
    tests: ['local-s3/protocol/byte-range.test.ts'],
  },
  {
    name: 'a range that begins at the end is empty instead of refused',
    file: `${room}/byte-range.ts`,
    before: 'if (start >= size || end < start) {',
    after: 'if (start > size || end < start - 1) {',
    effect: 'A client that has the whole file gets a broken response.',
    tests: ['local-s3/protocol/byte-range.test.ts'],
  },
  {
    name: 'a suffix longer than the object starts below zero',
    file: `${room}/byte-range.ts`,
    before: 'Math.max(size - Number(last), 0)',
    after: 'size - Number(last)',
    effect: 'The last bytes of a short file cannot be read.',
    tests: ['local-s3/protocol/byte-range.test.ts'],
  },
]
