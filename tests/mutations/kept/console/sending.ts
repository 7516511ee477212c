import type { KeptMutation } from '../../mutation.ts'

const room = 'packages/console/src/sending/transfers'

export const mutations: readonly KeptMutation[] = [
  {
    name: 'an interrupted file is opened although it was chosen meanwhile',
    file: `${room}/restore-files.ts`,
    before: `
    // Meanwhile it may have been chosen, opened in another way, or forgotten.
    if (!isInterrupted(key)) return`,
    after: '',
    effect: 'A second click on "Go on" sends the file as another upload.',
    tests: ['console/sending.test.ts'],
  },
  {
    name: 'a browser that does not ask for a folder ends "Go on"',
    file: `${room}/restore-files.ts`,
    before: 'askToRead(folder).catch(() => false)',
    after: 'askToRead(folder)',
    effect: 'The files after it stay interrupted.',
    tests: ['console/sending.test.ts'],
  },
  {
    name: 'an interrupted file that goes on is remembered as paused',
    file: `${room}/add-files.ts`,
    before: "    records.update(key, { isPaused: phase === 'paused' })\n",
    after: '',
    effect: 'After the next reload the file is paused, which the user had let go on.',
    tests: ['console/sending.test.ts'],
  },
  {
    name: 'a record that is written again loses its upload',
    file: 'packages/console/src/sending/kept/kept-files.ts',
    before: '      ...(uploadId !== undefined && { uploadId }),\n',
    after: '',
    effect: 'After a reload, "Forget" leaves the upload in S3 until it expires.',
    tests: ['console/sending.test.ts'],
  },
  {
    name: 'a record that is written again loses its pause',
    file: 'packages/console/src/sending/kept/kept-files.ts',
    before: "      ...(phase === 'paused' && { isPaused: true }),\n",
    after: '',
    effect: 'After a reload the page sends a file that the user had paused.',
    tests: ['console/sending.test.ts'],
  },
  {
    name: 'an erasure that the stream missed is not noticed',
    file: `${room}/follow-uploads.ts`,
    before: "if (describeFailure(error).kind === 'erased') onErased(uploadId)",
    after: '',
    effect: 'The row says for ever that the file waits for a worker.',
    tests: ['console/sending.test.ts'],
  },
  {
    name: 'a second erasure of a file replaces the first',
    file: `${room}/cancellation.ts`,
    before: '[erasures.get(key), erased]',
    after: '[erased]',
    effect: 'A file is sent again into the upload that is being erased.',
    tests: ['console/sending.test.ts'],
  },
  {
    name: 'a file whose upload is being erased is sent again',
    file: `${room}/send-queue.ts`,
    before: '!cancellation.isErasing(key)',
    after: 'key',
    effect: 'A file is sent again into the upload that is being erased.',
    tests: ['console/sending.test.ts'],
  },
]
