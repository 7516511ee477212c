import type { KeptMutation } from '../../mutation.ts'

const room = 'packages/api/src/direct'

export const mutations: readonly KeptMutation[] = [
  {
    name: 'a direct upload of an unknown size reserves no quota',
    file: `${room}/direct-upload.ts`,
    before: 'await quota.resize(upload, { from: intent.size, to: size }, Date.now() + directUploadLifeMs)',
    after: '',
    effect: 'A client stores more than its quota.',
    tests: ['api/uploads/address-quota.test.ts'],
  },
  {
    name: 'a file is stored before its form is whole',
    file: `${room}/direct-upload.ts`,
    before: '        await confirm()\n',
    after: '        confirm().catch(() => undefined)\n',
    effect: 'A cut form is stored as a file.',
    tests: ['api/direct/direct-upload.test.ts'],
  },
  {
    name: 'Content-Range is ignored',
    file: `${room}/incoming-file.ts`,
    before: "if (headers['content-range'] !== undefined) {",
    after: "if (headers['content-range'] === '') {",
    effect: 'A piece of a file is stored as a whole file.',
    tests: ['api/direct/forms-in-the-wild.test.ts', 'api/direct/direct-upload.test.ts'],
  },
  {
    name: 'Content-Encoding is ignored',
    file: `${room}/incoming-file.ts`,
    before: "if (encoding && encoding !== 'identity') {",
    after: "if (encoding === '') {",
    effect: 'A compressed body is stored as the file.',
    tests: ['api/direct/forms-in-the-wild.test.ts', 'api/direct/direct-upload.test.ts'],
  },
  {
    name: 'one piece of several is stored as a file',
    file: `${room}/form-fields.ts`,
    before: 'Number(fields.get(name)) > 1)',
    after: 'Number(fields.get(name)) > 10)',
    effect: 'A file that Dropzone sends in pieces becomes several broken ones.',
    tests: ['api/direct/direct-upload.test.ts'],
  },
  {
    name: 'a form may have 101 files',
    file: `${room}/receive-files.ts`,
    before: 'if (uploads.length === maxFiles)',
    after: 'if (uploads.length > maxFiles)',
    effect: 'The documented limit is one more.',
    tests: ['api/direct/forms-in-the-wild.test.ts'],
  },
  {
    name: 'a direct upload that is kept open expires after a minute',
    file: `${room}/keep-upload-open.ts`,
    before: 'export const directUploadLifeMs = 10 * 60 * 1000',
    after: 'export const directUploadLifeMs = 60 * 1000',
    effect: 'Slow uploads are erased while they are sent.',
    tests: ['api/direct/keep-upload-open.test.ts'],
  },
  {
    name: 'a renewed direct upload lives for twenty minutes',
    file: `${room}/keep-upload-open.ts`,
    before: 'const expiresAtMs = Date.now() + directUploadLifeMs',
    after: 'const expiresAtMs = Date.now() + 2 * directUploadLifeMs',
    effect: 'The quota of a file whose instance died is held for twice as long.',
    tests: ['api/direct/keep-upload-open.test.ts'],
  },
  {
    name: 'a direct upload is renewed every thirty minutes',
    file: `${room}/keep-upload-open.ts`,
    before: 'const defaultRenewMs = 3 * 60 * 1000',
    after: 'const defaultRenewMs = 30 * 60 * 1000',
    effect: 'A direct upload that takes more than ten minutes expires, and is erased, while it is sent.',
    tests: ['api/direct/renewals.test.ts'],
  },
]
