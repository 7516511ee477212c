import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { readConfig as readApiConfig } from '@millrace/api/config.ts'
import { type Environment, EnvironmentError } from '@millrace/shared/service/environment.ts'
import { readConfig as readWorkerConfig } from '@millrace/worker/config.ts'
import * as assert from 'uvu/assert'
import { processEnvironment } from '../../support/process-environment.ts'
import { suite } from '../../support/suite.ts'

const test = suite('start with wrong settings')

const secret = 'hunter2'
const hash = 'ab'.repeat(32)

/** Wrong values of variables that both services read, and the lines that report them. */
const shared: [name: string, value: string, line: string][] = [
  ['REDIS_URL', `http://user:${secret}@host`, 'REDIS_URL must be a redis:// or rediss:// URL.'],
  ['REDIS_PREFIX', 'a:b', 'REDIS_PREFIX is "a:b"; it must be letters, digits, "-" and "_".'],
  ['LOG_LEVEL', 'loud', 'LOG_LEVEL is "loud"; allowed: trace, debug, info, warn, error, fatal, silent.'],
  [
    'IMPORT_ALLOWED_PORTS',
    '99999',
    'IMPORT_ALLOWED_PORTS is "99999"; it must be ports from 1 to 65535, comma separated.',
  ],
  [
    'PRESETS',
    JSON.stringify([
      {
        name: 'a',
        variants: [{ name: 'b', fit: 'inside', width: 9, format: 'webp', quality: 80, effort: 7 }],
      },
    ]),
    'PRESETS[0].variants[0].effort is 7; for webp it must be an integer from 0 to 6.',
  ],
]
const missing = ['BUCKET is missing.', 'EVENTS_QUEUE_URL is missing.']

/** Starts a service as the process that it is in production, and waits for its end. */
async function runMain(entry: string, wrong: [string, string, string][]) {
  const child = spawn(process.execPath, [fileURLToPath(import.meta.resolve(entry))], {
    env: { ...processEnvironment(), ...Object.fromEntries(wrong) },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const [out, problems] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')])
  return { exitCode: child.exitCode, out, lines: problems.split('\n').slice(0, -1) }
}

for (const [service, entry, own] of [
  [
    'API',
    '@millrace/api/main.ts',
    [
      ['PORT', 'x', 'PORT is "x"; it must be an integer from 0 to 65535.'],
      [
        'PUBLIC_ORIGIN',
        'localhost',
        'PUBLIC_ORIGIN must be an http:// or https:// origin, or one with a path of letters, digits, - and _ and without a slash at its end.',
      ],
      [
        'ALLOWED_HOSTS',
        'files.test,*.test',
        'ALLOWED_HOSTS is "files.test,*.test"; it must be host names or IP addresses, such as files.example or 192.0.2.7, comma separated.',
      ],
      [
        'ALLOWED_ORIGINS',
        'https://app.test,*',
        'ALLOWED_ORIGINS is "https://app.test,*"; it must be origins without a path, such as https://app.example.com or http://localhost:5173, or https://*.example.com for all names under a domain of your own, comma separated.',
      ],
      ['SESSION_KEYS', secret, 'SESSION_KEYS must be keys of 32 bytes each in base64, comma separated.'],
      [
        'API_KEYS',
        `ok/admin/${hash},acme/root/${hash}`,
        'API_KEYS: entry 2 must be owner/scope+scope/sha256; its scopes must be of uploads:read, uploads:write, act-as, tokens, tenant, admin.',
      ],
      [
        'TRUSTED_PROXIES',
        '10.0.0.0/33',
        'TRUSTED_PROXIES is "10.0.0.0/33"; it must be addresses or networks such as 10.0.0.0/8, comma separated.',
      ],
      ['CDN_ORIGIN', 'http://cdn', 'CDN_ORIGIN must be an https:// origin without a path.'],
      ['CDN_PRIVATE_KEY', secret, 'CDN_PRIVATE_KEY must be a private key, PEM in base64.'],
      ['', '', 'CDN_KEY_PAIR_ID is missing; CDN_ORIGIN requires it.'],
    ],
  ],
  [
    'worker',
    '@millrace/worker/main.ts',
    [
      ['WORKER_SLOTS', '0', 'WORKER_SLOTS is 0; it must be an integer from 1 to 256.'],
      [
        'IMPORT_ALLOWED_NETWORKS',
        'localhost',
        'IMPORT_ALLOWED_NETWORKS is "localhost"; it must be addresses or networks such as 10.0.0.0/8, comma separated.',
      ],
      [
        'IMPORT_DNS_SERVERS',
        'dns.example',
        'IMPORT_DNS_SERVERS is "dns.example"; it must be addresses, each with a port if it is not 53, comma separated.',
      ],
    ],
  ],
] satisfies [string, string, [string, string, string][]][]) {
  test(`${service} prints one line per wrong variable, without stack or secrets, and exits with 2`, async () => {
    const wrong = [...shared, ...own].filter(([name]) => name !== '')
    const { exitCode, out, lines } = await runMain(entry, wrong)
    const expected = [...shared.map(([, , line]) => line), ...own.map(([, , line]) => line), ...missing]
    assert.equal([...lines].sort(), expected.sort())
    assert.is(exitCode, 2)
    assert.is(out, '')
    assert.not.ok(lines.some((line) => line.includes(secret) || line.includes(hash) || /^\s+at /.test(line)))
  })
}

/** Returns what a service without any variable prints: the tests above show that it prints all of these, and nothing else. */
function problemsOf(readConfig: (environment: Environment) => object): string[] {
  try {
    readConfig({})
    return []
  } catch (error) {
    if (!(error instanceof EnvironmentError)) throw error
    return [...error.problems].sort()
  }
}

test('API and worker without any variable print each required one', () => {
  assert.equal(problemsOf(readApiConfig), [
    'BUCKET is missing.',
    'EVENTS_QUEUE_URL is missing.',
    'PUBLIC_ORIGIN is missing.',
    'REDIS_URL is missing.',
    'SESSION_KEYS is missing.',
  ])
  assert.equal(problemsOf(readWorkerConfig), [
    'BUCKET is missing.',
    'EVENTS_QUEUE_URL is missing.',
    'REDIS_URL is missing.',
  ])
})

test.run()
