import type { KeptMutation } from '../../mutation.ts'

const room = 'packages/worker/src/tiff'

export const mutations: readonly KeptMutation[] = [
  {
    name: 'metadata: the thumbnail of a PNG is hidden without a new checksum',
    file: `${room}/exif-thumbnail.ts`,
    before: "  if (file.toString('latin1', start - 4, start) === 'eXIf') renewChecksum(file, start)\n",
    after: '',
    effect: 'A PNG loses its orientation and its copyright.',
    tests: ['worker/images/kept-metadata.test.ts'],
  },
  {
    name: 'limits: the count of pages of a TIFF stops at the limit',
    file: `${room}/tiff-directory.ts`,
    before: '!met.has(at) && met.size <= partLimits.pages',
    after: '!met.has(at) && met.size < partLimits.pages',
    effect: 'A TIFF with more pages than the limit passes as one at the limit.',
    tests: ['worker/structure/part-limits.test.ts'],
  },
]
