// biome-ignore-all lint/suspicious/noTemplateCurlyInString: these are texts of files, which contain template strings
import type { KeptMutation } from '../../mutation.ts'

const room = 'packages/shared/src/service'

export const mutations: readonly KeptMutation[] = [
  {
    name: 'log with signed URLs',
    file: `${room}/scrub-secrets.ts`,
    before: '`$1?${scrubbed}`',
    after: "'$&'",
    effect: 'Who reads the log can download files for an hour.',
    tests: ['shared/service/scrub-secrets.test.ts'],
  },
  {
    name: 'log with passwords of URLs',
    file: `${room}/scrub-secrets.ts`,
    before: '`$1${scrubbed}@`',
    after: "'$&'",
    effect: 'The password of Redis is in the log.',
    tests: ['shared/service/scrub-secrets.test.ts'],
  },
  {
    name: 'log with bearer tokens',
    file: `${room}/scrub-secrets.ts`,
    before: '(Bearer|Basic)',
    after: '(Basic)',
    effect: 'API keys are in the log.',
    tests: ['shared/service/scrub-secrets.test.ts'],
  },
  {
    name: 'log with cookies',
    file: `${room}/scrub-secrets.ts`,
    before: '((?:set-)?cookie|',
    after: '(set-cookie|',
    effect: 'Sessions can be taken over by the log.',
    tests: ['shared/service/scrub-secrets.test.ts'],
  },
  {
    name: 'log without its check of form fields',
    file: `${room}/scrub-secrets.ts`,
    before: 'x-amz-|aws4-|bearer',
    after: 'aws4-|bearer',
    effect: 'Signatures of forms are in the log.',
    tests: ['shared/service/scrub-secrets.test.ts'],
  },
  {
    name: 'scrubbed line is no JSON',
    file: `${room}/scrub-secrets.ts`,
    before: '/\\bAWS4-HMAC-SHA256\\b[^"\'\\\\\\n]*/g',
    after: '/\\bAWS4-HMAC-SHA256\\b[^\\n]*/g',
    effect: 'Lines with signatures cannot be parsed.',
    tests: ['shared/service/scrub-secrets.test.ts'],
  },
  {
    name: 'errors are logged whole',
    file: `${room}/log.ts`,
    before: 'serializers: { err: loggableError, error: loggableError, reason: loggableError }',
    after: 'serializers: { err: loggableError, error: loggableError }',
    effect: 'Requests with their headers are in the log.',
    tests: ['shared/service/scrub-secrets.test.ts'],
  },
  {
    name: 'nested secrets are logged',
    file: `${room}/log.ts`,
    before: '[name, `*.${name}`]',
    after: '[name]',
    effect: 'Names of files are in the log.',
    tests: ['shared/service/scrub-secrets.test.ts'],
  },
  {
    name: 'causes without an end',
    file: `${room}/loggable-error.ts`,
    before: 'const logsCause = depth < maxCauses',
    after: 'const logsCause = depth <= maxCauses * 100',
    effect: 'An error that is its own cause fills the log.',
    tests: ['shared/service/scrub-secrets.test.ts'],
  },
  {
    name: 'warnings of each message',
    file: `${room}/seldom-warning.ts`,
    before: 'if (kind && now() - kind.loggedAtMs < intervalMs) {',
    after: 'if (kind && now() - kind.loggedAtMs < intervalMs / 1000) {',
    effect: 'A rolling deploy fills the log.',
    tests: ['shared/connections/stored-json.test.ts'],
  },
]
