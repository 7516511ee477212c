import type { KeptMutation } from '../../mutation.ts'

const room = 'packages/api/src/uploads'

export const mutations: readonly KeptMutation[] = [
  {
    name: 'edit: a conflict is taken for success',
    file: `${room}/edit-upload.ts`,
    before: 'if (!(await edits.write(found, edit, stored))) continue',
    after: 'await edits.write(found, edit, stored)',
    effect: 'A change that lost is in Redis and not in S3: it disappears with Redis.',
    tests: ['api/uploads/edit-upload.test.ts'],
  },
  {
    name: 'edit: the marker of an erasure is not read',
    file: `${room}/edit-upload.ts`,
    before: 'if (!(await erasures.isMarked(found))) return',
    after: 'if (erasures) return',
    effect: 'The name of an erased file stays in S3.',
    tests: ['api/uploads/edit-upload.test.ts'],
  },
  {
    name: 'edit: the result may be longer than S3 stores',
    file: `${room}/edit-upload.ts`,
    before: '      checkMetadataLength(next.intent)\n',
    after: '',
    effect: 'Metadata grow without a limit, by one PATCH after another.',
    tests: ['api/uploads/edit-upload.test.ts'],
  },
]
