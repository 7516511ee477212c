import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { type Command, type CommandOption, readArguments } from '@millrace/shared/command/read-arguments.ts'
import { loadEnvFile } from './env-file.ts'
import { readServiceEnvironment } from './service-environment.ts'
import { withStartErrors } from './with-start-errors.ts'

const packages = join(import.meta.dirname, '../../..')

/** The data directory of `npm start` if no other is named. */
const defaultDirectory = '.millrace'

/**
 * Starts a command of `npm run` after its arguments were checked. They are passed on as they are: the program reads them again.
 *
 * @param program the file under packages/ that does the work
 * @param parameters without the program's name
 * @returns the exit code; 2 if the arguments are wrong
 */
export async function startCommand<Options extends Record<string, CommandOption>>(
  command: Command<Options & { data: { about: string; takes: string } }>,
  program: string,
  parameters: string[],
): Promise<number> {
  const read = readArguments(command, parameters)
  if (read.kind === 'help') {
    process.stdout.write(read.text)
    return 0
  }
  if (read.kind === 'wrong') {
    process.stderr.write(`${read.sentence}\n`)
    return 2
  }
  const directory = dataDirectoryOf(read.values)
  return withStartErrors(async () => {
    loadEnvFile(process.env)
    return runServiceCommand(program, parameters, directory)
  })
}

/** @param values of a command that has the option `data` */
function dataDirectoryOf(values: object): string {
  return 'data' in values && typeof values.data === 'string' ? values.data : defaultDirectory
}

/**
 * Runs a command of a service with the settings of a running `npm start`, or with those of the service in the environment,
 * and passes signals on to it. If there is nothing to connect to, prints what to do.
 *
 * @param program the file under packages/
 * @param directory the data directory of `npm start`
 * @returns the exit code
 */
export async function runServiceCommand(
  program: string,
  parameters: string[],
  directory: string,
): Promise<number> {
  const environment = await environmentOf(directory)
  if (!environment) {
    process.stderr.write(
      `Millrace does not run on ${directory}: start it with \`npm start\`, or set BUCKET, REDIS_URL and the other variables of the services.\n`,
    )
    return 2
  }
  return runProgram(program, parameters, environment)
}

/**
 * Runs a program and passes signals on to it.
 *
 * @param program the file under packages/
 * @returns the exit code
 */
export async function runProgram(
  program: string,
  parameters: string[],
  environment: NodeJS.ProcessEnv,
): Promise<number> {
  const child = spawn(process.execPath, [join(packages, program), ...parameters], {
    stdio: 'inherit',
    env: environment,
  })
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => child.kill(signal))
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code) => resolve(code ?? 1))
  })
}

/**
 * Returns the variables that reach a system: those of this process if it names a bucket, otherwise those of a running
 * `npm start`; undefined if there is nothing to connect to.
 */
export async function environmentOf(directory: string): Promise<NodeJS.ProcessEnv | undefined> {
  if (process.env['BUCKET']) return process.env
  const running = await readServiceEnvironment(directory)
  if (!running) return undefined
  // The user's own AWS settings are for another account.
  const own = Object.entries(process.env).filter(([name]) => !name.startsWith('AWS_'))
  return { ...Object.fromEntries(own), ...running }
}
