import type { KeptMutation } from '../../mutation.ts'

const room = 'packages/local-s3/src/bodies'

export const mutations: readonly KeptMutation[] = [
  {
    name: "the body's SHA-256 is not compared",
    file: `${room}/request-body.ts`,
    before: 'if (computed !== signature.payload) {',
    after: 'if (computed.length !== signature.payload.length) {',
    effect: 'A body that was replaced on its way is stored.',
    tests: ['local-s3/bodies/integrity.test.ts'],
  },
  {
    name: "the body's checksum is not compared",
    file: `${room}/request-body.ts`,
    before: 'if (expected !== undefined && expected !== value) {',
    after: 'if (expected !== undefined && expected.length !== value.length) {',
    effect: 'A damaged body is stored.',
    tests: ['local-s3/bodies/integrity.test.ts'],
  },
  {
    name: 'Content-MD5 is not compared',
    file: `${room}/request-body.ts`,
    before: 'if (contentMd5 !== undefined && computedMd5 !== contentMd5) {',
    after: 'if (contentMd5 !== undefined && computedMd5.length !== contentMd5.length) {',
    effect: 'A damaged body is stored.',
    tests: ['local-s3/bodies/integrity.test.ts'],
  },
  {
    name: 'a body shorter than declared is stored',
    file: `${room}/request-body.ts`,
    before: "    if (received !== size) throw new S3Error('IncompleteBody')\n",
    after: '',
    effect: 'A chunked body that lost its end is stored.',
    tests: ['local-s3/bodies/integrity.test.ts'],
  },
  {
    name: 'chunk signatures are not chained',
    file: `${room}/aws-chunked.ts`,
    before: '    previous = computed\n',
    after: '',
    effect: 'The SDK cannot send signed chunks.',
    tests: ['local-s3/bodies/integrity.test.ts'],
  },
  {
    name: 'chunk signatures are not verified',
    file: `${room}/aws-chunked.ts`,
    before: 'if (received === undefined || !signaturesEqual(computed, received)) {',
    after: 'if (received === undefined) {',
    effect: 'A chunk that was replaced on its way is stored.',
    tests: ['local-s3/bodies/integrity.test.ts'],
  },
]
