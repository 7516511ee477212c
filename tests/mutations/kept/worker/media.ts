import type { KeptMutation } from '../../mutation.ts'

const room = 'packages/worker/src/media'

export const mutations: readonly KeptMutation[] = [
  {
    name: 'media: the bytes of ranges are not limited',
    file: `${room}/file-ranges.ts`,
    before: '      requests <= rangeLimits.requests &&\n      bytes <= rangeLimits.bytes\n',
    after: '      requests <= rangeLimits.requests\n',
    effect: 'A video of 20 GB is read by 4 GB for its duration.',
    tests: ['worker/media/file-ranges.test.ts'],
  },
  {
    name: 'media: one range more than the limit is read',
    file: `${room}/file-ranges.ts`,
    before: 'requests <= rangeLimits.requests',
    after: 'requests < rangeLimits.requests',
    effect: 'A video at the documented limit is not examined wholly.',
    tests: ['worker/media/file-ranges.test.ts'],
  },
  {
    name: 'media: ranges beyond the end are read',
    file: `${room}/file-ranges.ts`,
    before: 'start >= 0 && start < end && end <= size',
    after: 'start >= 0 && start < end',
    effect: 'A decoder asks S3 for what is not part of the file.',
    tests: ['worker/media/file-ranges.test.ts'],
  },
  {
    name: 'media: ffmpeg may open any protocol',
    file: `${room}/run-ffmpeg.ts`,
    before: "...['-protocol_whitelist', 'pipe', '-format_whitelist', 'matroska', '-f', 'matroska'],",
    after: "...['-format_whitelist', 'matroska', '-f', 'matroska'],",
    effect: 'A hostile frame makes ffmpeg read files or addresses of the network.',
    tests: ['worker/decoders/video-posters.test.ts'],
  },
  {
    name: 'media: ffmpeg has no limit of pixels',
    file: `${room}/run-ffmpeg.ts`,
    before: ", '-max_pixels', String(maxPixels)],",
    after: '],',
    effect: 'A frame larger than its container says takes all memory of a decoder.',
    tests: ['worker/decoders/video-posters.test.ts'],
  },
  {
    name: 'media: ffmpeg has the environment of the worker',
    file: `${room}/run-ffmpeg.ts`,
    before: '    env: {},\n',
    after: '',
    effect: 'Variables of the decoder reach a program that reads files of clients.',
    tests: ['worker/decoders/video-posters.test.ts'],
  },
]
