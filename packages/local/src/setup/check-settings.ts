import { readConfig as readApiConfig } from '@millrace/api/config.ts'
import { type Environment, EnvironmentError } from '@millrace/shared/service/environment.ts'
import { wrongSettingsExitCode } from '@millrace/shared/service/read-config-or-exit.ts'
import { readConfig as readWorkerConfig } from '@millrace/worker/config.ts'
import { StartError } from './start-error.ts'

/** What `npm start` itself gives to the services, in place of the user's values. */
const ownVariables = {
  REDIS_URL: 'redis://127.0.0.1:6379',
  BUCKET: 'millrace',
  EVENTS_QUEUE_URL: 'http://127.0.0.1/queue',
  PUBLISH_PERIOD_MS: '10000',
  INSTANCE: 'instance',
  HOST: '127.0.0.1',
  PORT: '0',
  PUBLIC_ORIGIN: 'http://localhost:3000',
  PROXY_PROTOCOL: 'true',
  SESSION_KEYS: Buffer.alloc(32).toString('base64'),
}

/**
 * Checks the user's settings with the schemas of both services, before anything is started.
 *
 * @param environment the variables that the services inherit
 * @throws StartError with exit code 2 and one sentence per problem, by variable name and without secrets
 */
export function checkSettings(environment: Environment): void {
  const variables = { ...environment, ...ownVariables }
  // Both services read some variables, so a problem of theirs is found twice.
  const problems = new Set([readApiConfig, readWorkerConfig].flatMap((read) => problemsOf(read, variables)))
  if (problems.size > 0) throw new StartError([...problems].join('\n'), wrongSettingsExitCode)
}

function problemsOf(readConfig: (environment: Environment) => unknown, variables: Environment) {
  try {
    readConfig(variables)
    return []
  } catch (error) {
    if (error instanceof EnvironmentError) return error.problems
    throw error
  }
}
