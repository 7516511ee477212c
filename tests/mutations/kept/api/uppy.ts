import type { KeptMutation } from '../../mutation.ts'

const room = 'packages/api/src/uppy'

export const mutations: readonly KeptMutation[] = [
  {
    name: "Uppy's part number may be one too high",
    file: `${room}/uppy-routes.ts`,
    before: 'if (partNumber > multipart.partCount) {',
    after: 'if (partNumber > multipart.partCount + 1) {',
    effect: 'A client stores bytes that no quota counts.',
    tests: ['api/uppy/uppy.test.ts'],
  },
  {
    name: "Uppy's form may have one byte more than 100 MiB",
    file: `${room}/uppy-routes.ts`,
    before: 'if (intent.size > uppyFormLimitBytes) {',
    after: 'if (intent.size > uppyFormLimitBytes + 1) {',
    effect: 'The documented limit is one more.',
    tests: ['api/uppy/uppy.test.ts'],
  },
  {
    name: "Uppy's form needs no write scope",
    file: `${room}/uppy-routes.ts`,
    before: "'/uppy/s3/params',\n    {\n      config: { scope: 'uploads:write' },",
    after: "'/uppy/s3/params',\n    {\n      config: { scope: 'uploads:read' },",
    effect: 'A key that may only read creates uploads.',
    tests: ['api/uppy/uppy.test.ts'],
  },
  {
    name: "Uppy's part needs no write scope",
    file: `${room}/uppy-routes.ts`,
    before: "'/uppy/s3/multipart/:id/:partNumber',\n    {\n      config: { scope: 'uploads:write' },",
    after: "'/uppy/s3/multipart/:id/:partNumber',\n    {\n      config: { scope: 'uploads:read' },",
    effect: 'A key that may only read sends parts.',
    tests: ['api/uppy/uppy.test.ts'],
  },
  {
    name: "Uppy's responses may be cached",
    file: `${room}/uppy-routes.ts`,
    before: "reply.header('cache-control', 'no-store')",
    after: "reply.header('cache-control', 'private')",
    effect: 'A browser reuses the signature of another file.',
    tests: ['api/uppy/uppy.test.ts'],
  },
]
