import type { KeptMutation } from '../../mutation.ts'

const room = 'packages/worker/src/trimming'

export const mutations: readonly KeptMutation[] = [
  {
    name: 'trimming: records of uploads that are processed are deleted',
    file: `${room}/trim-records.ts`,
    before: "if state ~= 'ready' and state ~= 'rejected' and state ~= 'failed' then return 0 end",
    after: '',
    effect: 'Uploads that are being processed look as if nobody had begun.',
    tests: ['worker/trimming/trim-records.test.ts'],
  },
  {
    name: 'trimming: imports without bytes are deleted',
    file: `${room}/trim-records.ts`,
    before: "if type(record.arrival) ~= 'table' then return 0 end",
    after: '',
    effect: 'The outcome of failed imports is lost: only Redis has it.',
    tests: ['worker/trimming/trim-records.test.ts'],
  },
  {
    name: 'trimming: records of the last minute are deleted',
    file: `${room}/trim-records.ts`,
    before: ' or record.updatedAt >= ARGV[1] then',
    after: ' then',
    effect: 'A client that waits for its upload reads it from S3 each time.',
    tests: ['worker/trimming/trim-records.test.ts'],
  },
  {
    name: 'trimming: runs over all keys again and again',
    file: `${room}/trimming.ts`,
    before: 'const pauseMs = 60_000',
    after: 'const pauseMs = 600',
    effect: 'Redis is scanned all the time while something else fills it.',
    tests: ['worker/trimming/trimming.test.ts'],
  },
]
