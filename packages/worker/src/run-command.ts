import { createProgress, type Progress } from '@millrace/shared/command/progress.ts'
import {
  type Command,
  type CommandOption,
  type CommandValues,
  readArguments,
} from '@millrace/shared/command/read-arguments.ts'
import {
  type Clients,
  connectRedis,
  connectS3,
  connectSqs,
  connectStreamingS3,
} from '@millrace/shared/connections/connections.ts'
import type { Environment } from '@millrace/shared/service/environment.ts'
import { createLog } from '@millrace/shared/service/log.ts'
import { readConfigOrExit } from '@millrace/shared/service/read-config-or-exit.ts'
import { destination, type Logger } from 'pino'
import { type Config, readConfig } from './config.ts'

/** A terminal's Ctrl-C reaches each process of `npm run`, and each passes it on: within this time they are one, in ms. */
const sameSignalMs = 1_000

/** What a command works with. */
export type CommandContext<Options extends Record<string, CommandOption>> = Clients & {
  values: CommandValues<Options>
  config: Config
  log: Logger
  progress: Progress
  /** Aborts when the user stops the command. */
  signal: AbortSignal
  /** Prints the result: text, or with --json the object. */
  print(text: string, object: object): void
}

/** A command that has started. `hint`: how to continue after it was stopped or has failed, as one or more sentences. */
export type StartedCommand = { run(): Promise<number>; hint(): string }

/**
 * Runs a command with the settings of a worker: reads its arguments, connects, and says in one sentence what went wrong.
 *
 * @param parameters the arguments
 * @param environment usually `process.env`
 * @param start creates the command; `run` returns the exit code
 * @returns the exit code: 0 if all was done, 1 if not, 2 if the arguments are wrong
 */
export async function runCommand<Options extends Record<string, CommandOption>>(
  command: Command<Options> & { options: { json: CommandOption } },
  { parameters, environment }: { parameters: string[]; environment: Environment },
  start: (context: CommandContext<Options>) => StartedCommand,
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
  const { values } = read
  const config = readConfigOrExit(readConfig, environment)
  // The result is on standard output.
  const log = createLog({ level: 'warn', instance: config.instance }, destination({ dest: 2, sync: true }))
  const redis = connectRedis(config.redisUrl, log)
  const s3 = connectS3()
  const streamingS3 = connectStreamingS3()
  const sqs = connectSqs()
  const progress = createProgress({
    stream: process.stderr,
    isTerminal: process.stderr.isTTY === true && !environment['CI'],
  })
  const signal = stopSignal()
  const { run, hint } = start({
    ...{ values, config, log, redis, s3, streamingS3, sqs, progress, signal },
    print(text, object) {
      progress.clear()
      process.stdout.write(isJson(values) ? `${JSON.stringify(object)}\n` : text)
    },
  })
  try {
    return await run()
  } catch (error) {
    progress.clear()
    const reason = signal.aborted ? 'Stopped.' : `Failed: ${messageOf(error)}`
    process.stderr.write(`${endSentence(reason)} ${hint()}\n`)
    return 1
  } finally {
    progress.clear()
    sqs.destroy()
    streamingS3.destroy()
    s3.destroy()
    redis.disconnect()
  }
}

function isJson(values: object): boolean {
  return 'json' in values && values.json === true
}

/** Returns a signal that aborts with Ctrl-C. A second Ctrl-C ends the process at once. */
function stopSignal(): AbortSignal {
  const stopping = new AbortController()
  let stoppedAtMs: number | undefined
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(name, () => {
      if (stoppedAtMs !== undefined && performance.now() - stoppedAtMs > sameSignalMs) process.exit(1)
      stoppedAtMs ??= performance.now()
      stopping.abort()
    })
  }
  return stopping.signal
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

function endSentence(text: string): string {
  return /[.!?]$/.test(text) ? text : `${text}.`
}
