import type { KeptMutation } from '../../mutation.ts'

const room = 'packages/worker/src/types'

export const mutations: readonly KeptMutation[] = [
  {
    name: 'types: a signature comes before markup',
    file: `${room}/detect-type.ts`,
    before: "if (markup) return { mediaType: markup, foundBy: 'markup' }",
    after: "if (markup && markup !== 'image/svg+xml') return { mediaType: markup, foundBy: 'markup' }",
    effect: 'SVG is no image.',
    tests: ['worker/types/text-types.test.ts'],
  },
  {
    name: 'types: a text that begins with a signature has its type',
    file: `${room}/detect-type.ts`,
    before: 'if (detected && (!isText || textFormats.test(detected.mediaType))) return detected',
    after: 'if (detected) return detected',
    effect: 'A text that begins with BMW is rejected as a damaged image.',
    tests: ['worker/types/weak-signatures.test.ts'],
  },
  {
    name: 'types: one range more than the limit is read',
    file: `${room}/bounded-file.ts`,
    before: 'if (ranges.length > maxRanges ||',
    after: 'if (ranges.length > 10 * maxRanges ||',
    effect: 'A hostile file costs ten times the requests to S3.',
    tests: ['worker/types/bounded-file.test.ts'],
  },
  {
    name: 'types: the bytes of ranges are not limited',
    file: `${room}/bounded-file.ts`,
    before: ' || rangeBytes + rangeEnd - start > maxRangeBytes) return Buffer.alloc(0)',
    after: ') return Buffer.alloc(0)',
    effect: 'A hostile file is read as a whole to detect its type.',
    tests: ['worker/types/bounded-file.test.ts'],
  },
  {
    name: 'types: an outage of S3 is an unknown type',
    file: `${room}/detect-type.ts`,
    before: '    if (file.failure) throw file.failure.error\n',
    after: '',
    effect: 'While S3 fails, good files are rejected for their type.',
    tests: ['worker/types/hostile-files.test.ts'],
  },
  {
    name: 'types: bright bytes are a text',
    file: `${room}/text-encoding.ts`,
    before: 'return text.length - others >= text.length * minAsciiShare ? text : undefined',
    after: 'return text',
    effect: 'A picture without dark pixels is accepted as text.',
    tests: ['worker/types/text-types.test.ts'],
  },
]
