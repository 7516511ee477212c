import type { KeptMutation } from '../../mutation.ts'

const room = 'packages/worker/src/scanning'

export const mutations: readonly KeptMutation[] = [
  {
    name: 'scan: any reply that ends with OK is clean',
    file: `${room}/clamd.ts`,
    before: "if (reply === 'stream: OK') return { result: 'clean' }",
    after: "if (reply.endsWith('OK')) return { result: 'clean' }",
    effect: 'A reply that nobody understands passes a file as clean.',
    tests: ['worker/scanning/clamd.test.ts'],
  },
  {
    name: 'scan: a reply counts before it is complete',
    file: `${room}/clamd-connection.ts`,
    before: "const isReplied = () => received.includes('\\0')",
    after: 'const isReplied = () => /\\0|OK/.test(received)',
    effect: 'A scan whose connection breaks within the reply passes a file as clean.',
    tests: ['worker/scanning/clamd.test.ts'],
  },
  {
    name: 'scan: a reply may have any length',
    file: `${room}/clamd-connection.ts`,
    before: 'if (received.length > maxReplyLength) fail(',
    after: 'if (received.length > 1_000 * maxReplyLength) fail(',
    effect: 'A faulty clamd fills the memory of a worker.',
    tests: ['worker/scanning/clamd.test.ts'],
  },
  {
    name: 'scan: an unknown reply is clean',
    file: `${room}/clamd.ts`,
    before: "  throw new AppError('scan_unavailable', { cause: new Error(`clamd replied",
    after:
      "  if (!reply.includes('FOUND')) return { result: 'clean' }\n  throw new AppError('scan_unavailable', { cause: new Error(`clamd replied",
    effect: 'A clamd without its database passes all files as clean.',
    tests: ['worker/scanning/clamd.test.ts'],
  },
  {
    name: 'scan: what clamd did not scan is clean',
    file: `${room}/scanning.ts`,
    before: "else if (verdict.result === 'too-large') tooLarge(file, undefined, onCheck)",
    after: "else if (verdict.result === 'too-large') onCheck('clamd', 'skipped')",
    effect: 'Files above the own limit of clamd are served although they must be rejected.',
    tests: ['worker/scanning/scanning.test.ts'],
  },
  {
    name: 'scan: a file of exactly SCAN_MAX_BYTES is not scanned',
    file: `${room}/scanning.ts`,
    before: 'if (file.size > clamd.maxBytes) {',
    after: 'if (file.size >= clamd.maxBytes) {',
    effect: 'A file at the documented limit is rejected.',
    tests: ['worker/scanning/scanning.test.ts'],
  },
  {
    name: 'scan: large files are accepted by default',
    file: `${room}/scanning.ts`,
    before: "    if (clamd?.largeFiles === 'accept') return\n",
    after: "    if (clamd?.largeFiles !== 'reject' || limit === undefined) return\n",
    effect: 'A file that clamd refuses to scan is served.',
    tests: ['worker/scanning/scanning.test.ts'],
  },
  {
    name: 'scan: the verdict of the inspector is not awaited',
    file: `${room}/scanning.ts`,
    before: '        await inspect(file, sha256, onCheck, signal)\n',
    after: '        void inspect(file, sha256, onCheck, signal).catch(() => {})\n',
    effect: 'Files that the team refuses are served.',
    tests: ['worker/scanning/scanning.test.ts'],
  },
  {
    name: 'scan: a failing inspector accepts',
    file: `${room}/inspector.ts`,
    before: "      throw new AppError('scan_unavailable', { cause: error })",
    after:
      "      if (error instanceof TypeError) return { decision: 'accept' }\n      throw new AppError('scan_unavailable', { cause: error })",
    effect: 'While the inspector does not run, every file is served.',
    tests: ['worker/scanning/inspector.test.ts'],
  },
  {
    name: 'scan: a status of an error with a decision counts',
    file: `${room}/inspector.ts`,
    before: '      if (!response.ok) throw',
    after: '      if (response.status >= 500) throw',
    effect: 'A page of a proxy that says accept passes a file.',
    tests: ['worker/scanning/inspector.test.ts'],
  },
  {
    name: 'scan: an aborted job waits for the inspector',
    file: `${room}/inspector.ts`,
    before: 'signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),',
    after: 'signal: AbortSignal.timeout(timeoutMs),',
    effect: 'A worker that closes waits for a slow inspector.',
    tests: ['worker/scanning/inspector.test.ts'],
  },
]
