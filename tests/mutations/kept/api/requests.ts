import type { KeptMutation } from '../../mutation.ts'

const room = 'packages/api/src/requests'

export const mutations: readonly KeptMutation[] = [
  {
    name: 'a 401 does not name its scheme',
    file: `${room}/problem.ts`,
    before: "if (status === 401) reply.header('www-authenticate', 'Bearer')",
    after: "if (status === 407) reply.header('www-authenticate', 'Bearer')",
    effect: 'Clients that follow RFC 9110 do not know how to authenticate.',
    tests: ['api/identity/authorization.test.ts'],
  },
  {
    name: 'a 503 asks to come back after 5 ms',
    file: `${room}/problem.ts`,
    before: "if (status === 503) reply.header('retry-after', '5')",
    after: "if (status === 503) reply.header('retry-after', '0')",
    effect: 'All clients repeat at once while Redis changes its primary.',
    tests: ['api/http/request-limits.test.ts'],
  },
  {
    name: 'the message of an unknown error is sent',
    file: `${room}/problem.ts`,
    before: 'if (status >= 400 && status < 500) {',
    after: 'if (status >= 400 && status <= 500) {',
    effect: 'Clients read messages of Redis and S3, with host names and keys.',
    tests: ['api/http/request-limits.test.ts'],
  },
  {
    name: 'a problem on a broken connection may be sniffed',
    file: `${room}/raw-problem.ts`,
    before: "    'x-content-type-options: nosniff',\n",
    after: '',
    effect: 'A browser guesses the type of a response that has no security headers.',
    tests: ['api/http/request-limits.test.ts'],
  },
]
