// biome-ignore-all lint/suspicious/noTemplateCurlyInString: these are texts of files, which contain template strings
import type { KeptMutation } from '../../mutation.ts'

const room = 'packages/shared/src/parts'

export const mutations: readonly KeptMutation[] = [
  {
    name: 'a file of exactly 10,000 parts has larger ones',
    file: `${room}/part-plan.ts`,
    before: 'Math.ceil(size / partLimit / MiB) * MiB',
    after: '(Math.floor(size / partLimit / MiB) + 1) * MiB',
    effect: 'Parts of large files have another size than documented.',
    tests: ['shared/parts/part-plan.test.ts'],
  },
  {
    name: 'a large file has more than 10,000 parts',
    file: `${room}/part-plan.ts`,
    before: 'const minPartBytes = Math.ceil(size',
    after: 'const minPartBytes = Math.floor(size',
    effect: 'The largest files cannot be completed.',
    tests: ['shared/parts/part-plan.test.ts'],
  },
  {
    name: 'the last part is counted although it is empty',
    file: `${room}/part-plan.ts`,
    before:
      '  const partSize = Math.max(smallestPartBytes, minPartBytes)\n  return { partSize, partCount: Math.ceil(size / partSize) }',
    after:
      '  const partSize = Math.max(smallestPartBytes, minPartBytes)\n  return { partSize, partCount: Math.floor(size / partSize) + 1 }',
    effect: 'A file of whole parts is never complete.',
    tests: ['shared/parts/part-plan.test.ts'],
  },
  {
    name: 'the last part is as large as the others',
    file: `${room}/part-plan.ts`,
    before: 'return partNumber < partCount ? partSize : size - partSize * (partCount - 1)',
    after: 'return partNumber <= partCount ? partSize : size - partSize * (partCount - 1)',
    effect: 'The last part of a file is refused.',
    tests: ['shared/parts/part-plan.test.ts'],
  },
  {
    name: "Uppy's parts have 5,000,000 bytes",
    file: `${room}/part-plan.ts`,
    before: 'Math.max(5 * MiB, Math.ceil(size / partLimit))',
    after: 'Math.max(5_000_000, Math.ceil(size / partLimit))',
    effect: 'S3 refuses to complete files that Uppy sent.',
    tests: ['shared/parts/part-plan.test.ts'],
  },
  {
    name: 'parts of tus grow one part too early',
    file: `${room}/part-plan.ts`,
    before: 'Math.max(0, partNumber - evenParts) * growthBytes',
    after: 'Math.max(0, partNumber - evenParts + 1) * growthBytes',
    effect: 'Uploads that began before a deployment have a hole.',
    tests: ['shared/parts/part-plan.test.ts'],
  },
  {
    name: 'parts of tus do not grow',
    file: `${room}/part-plan.ts`,
    before: 'const growthBytes = 132 * 1024',
    after: 'const growthBytes = 13 * 1024',
    effect: 'Files of some TiB need more than 10,000 parts.',
    tests: ['shared/parts/part-plan.test.ts'],
  },
  {
    name: 'a tus file of exactly 78 GiB grows',
    file: `${room}/part-plan.ts`,
    before: 'if (fileBytes <= smallestPartBytes * partLimit) {',
    after: 'if (fileBytes < smallestPartBytes * partLimit) {',
    effect: 'An upload of that size that began earlier is damaged.',
    tests: ['shared/parts/part-plan.test.ts'],
  },
  {
    name: 'parts of 100 MiB are streamed',
    file: `${room}/part-plan.ts`,
    before: 'export const streamedPartBytes = 1024 * MiB',
    after: 'export const streamedPartBytes = 100 * MiB',
    effect: 'Files above 1 TB are refused after their first terabyte was sent.',
    tests: ['shared/parts/part-plan.test.ts'],
  },
]
