import type { KeptMutation } from '../../mutation.ts'

const room = 'packages/worker/src/structure'

export const mutations: readonly KeptMutation[] = [
  {
    name: 'limits: scans are not counted',
    file: `${room}/jpeg-structure.ts`,
    before: "const parts = { name: 'scans', count: scans } as const",
    after: "const parts = { name: 'scans', count: 1 } as const",
    effect: 'A JPEG of 1 MB keeps a decoder busy until its time limit.',
    tests: ['worker/structure/part-limits.test.ts'],
  },
  {
    name: 'limits: the count of scans stops at the limit',
    file: `${room}/jpeg-structure.ts`,
    before: 'if (result.scans > partLimits.scans) break',
    after: 'if (result.scans >= partLimits.scans) break',
    effect: 'A JPEG with more scans than the limit passes as one at the limit.',
    tests: ['worker/structure/part-limits.test.ts'],
  },
  {
    name: 'limits: the count of frames of a GIF stops at the limit',
    file: `${room}/gif-structure.ts`,
    before: 'while (at < file.length && frames <= partLimits.frames) {',
    after: 'while (at < file.length && frames < partLimits.frames) {',
    effect: 'A GIF with more frames than the limit passes as one at the limit.',
    tests: ['worker/structure/part-limits.test.ts'],
  },
  {
    name: 'limits: the count of chunks of a PNG stops at the limit',
    file: `${room}/png-structure.ts`,
    before: "if (type === 'IEND' || chunks.length > partLimits.chunks) break",
    after: "if (type === 'IEND' || chunks.length >= partLimits.chunks) break",
    effect: 'A PNG with more chunks than the limit passes as one at the limit.',
    tests: ['worker/structure/part-limits.test.ts'],
  },
  {
    name: 'PNG: the checksum of the header is not compared',
    file: `${room}/png-structure.ts`,
    before: "if (header?.type === 'IHDR' && !hasValidCrc(file, header))",
    after: "if (header?.type === 'IHDR' && header.end < 0)",
    effect: 'A damaged size takes all memory of a decoder.',
    tests: ['worker/structure/other-structures.test.ts'],
  },
]
