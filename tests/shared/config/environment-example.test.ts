import { readFileSync } from 'node:fs'
import { readConfig as readApiConfig } from '@millrace/api/config.ts'
import { type Environment, EnvironmentError } from '@millrace/shared/service/environment.ts'
import { readConfig as readWorkerConfig } from '@millrace/worker/config.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('.env.example')

/** The variables of the file and the values that it gives them; '' if it gives none. */
const example = new Map(
  readFileSync(new URL('../../../.env.example', import.meta.url), 'utf8')
    .split('\n')
    .flatMap((line) => {
      const [, name, value = ''] = /^([A-Z][A-Z0-9_]*)=(\S*)/.exec(line) ?? []
      return name === undefined ? [] : [[name, value] as const]
    }),
)

/** Variables of the AWS SDK and of OpenTelemetry, whose documentation describes them, and of the system. */
const isKnown = (name: string) => /^(AWS|OTEL)_/.test(name) || name === 'PATH'

/** The names of the variables that a service reads. */
function readBy(readConfig: (environment: Environment) => unknown): string[] {
  const names = new Set<string>()
  const recording = new Proxy<Environment>(
    {},
    {
      get: (_, name) => {
        names.add(String(name))
        return undefined
      },
    },
  )
  assert.throws(
    () => readConfig(recording),
    (error: unknown) => error instanceof EnvironmentError,
  )
  return [...names]
}

test('.env.example lists each variable that a service reads, and no other', () => {
  const read = new Set([...readBy(readApiConfig), ...readBy(readWorkerConfig)])
  assert.equal([...read].filter((name) => !isKnown(name) && !example.has(name)).sort(), [])
  assert.equal([...example.keys()].filter((name) => !isKnown(name) && !read.has(name)).sort(), [])
})

test('.env.example shows the defaults of optional variables', () => {
  const required = {
    PUBLIC_ORIGIN: 'http://localhost:3000',
    REDIS_URL: 'redis://127.0.0.1:6379',
    BUCKET: 'millrace',
    EVENTS_QUEUE_URL: 'http://127.0.0.1/queue',
    SESSION_KEYS: Buffer.alloc(32).toString('base64'),
  }
  const environment = { ...Object.fromEntries(example), ...required }
  assert.equal(readApiConfig(environment), readApiConfig(required))
  assert.equal(readWorkerConfig(environment), readWorkerConfig(required))
})

test.run()
