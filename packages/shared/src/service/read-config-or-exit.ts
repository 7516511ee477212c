import { type Environment, EnvironmentError } from './environment.ts'

/** The exit code after wrong settings: a restart does not help. A crash exits with 1. */
export const wrongSettingsExitCode = 2

/**
 * Reads a service's settings. If any are wrong, prints one line per problem to standard error, without a stack
 * trace, and ends the process with exit code 2.
 *
 * @param readConfig throws EnvironmentError with all problems
 * @param environment usually `process.env`
 */
export function readConfigOrExit<Config>(
  readConfig: (environment: Environment) => Config,
  environment: Environment,
): Config {
  try {
    return readConfig(environment)
  } catch (error) {
    if (!(error instanceof EnvironmentError)) throw error
    process.stderr.write(error.problems.map((problem) => `${problem}\n`).join(''))
    process.exit(wrongSettingsExitCode)
  }
}
