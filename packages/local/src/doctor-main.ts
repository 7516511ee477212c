import { join, resolve } from 'node:path'
import {
  type Command,
  type CommandOption,
  type CommandValues,
  readArguments,
} from '@millrace/shared/command/read-arguments.ts'
import { findPresetsFile } from '@millrace/shared/presets/load-presets-file.ts'
import { openEnvironment } from '@millrace/shared/service/environment.ts'
import Type from 'typebox'
import { createSystemDoctor, type Doctor } from './doctor/doctor.ts'
import { exitCodeOf } from './doctor/finding.ts'
import { formatFindings, formatSummary } from './doctor/format-findings.ts'
import { runChecks } from './doctor/run-checks.ts'
import { loadEnvFile } from './setup/env-file.ts'
import { environmentOf } from './setup/service-command.ts'
import { StartError } from './setup/start-error.ts'

const command = {
  name: 'doctor',
  about:
    'Checks a system and says what is wrong and how to mend it. It changes nothing; it sends one small image and erases it again.',
  options: {
    stage: {
      takes: 'NAME',
      about: 'check a deployed stage, with the AWS credentials of this shell (AWS_PROFILE, AWS_REGION)',
    },
    origin: {
      takes: 'URL',
      about: 'address of the API; with --stage it is not asked without one',
      check: (text: string) => (URL.canParse(text) ? undefined : 'must be a URL'),
    },
    data: { takes: 'DIR', about: 'data directory of the running `npm start` (default .millrace)' },
    json: { about: 'print one JSON document instead of lines' },
  },
  notes:
    'Without --stage, the running `npm start` is checked; with BUCKET in the environment or in .env, the services that its variables\nname (.env.example). MILLRACE_API_KEY sends the image where uploads need a key.\nExit code 0: nothing is wrong. 1: a warning. 2: an error. 3: nothing could be checked.',
} as const satisfies Command<Record<string, CommandOption>>

type Options = CommandValues<(typeof command)['options']>

const exitUnchecked = 3
const root = join(import.meta.dirname, '../../..')

/** What is needed to reach a system. The services check their variables themselves. */
const Variables = Type.Object({
  BUCKET: Type.String(),
  EVENTS_QUEUE_URL: Type.String({ pattern: '^https?://', description: 'an http:// or https:// URL' }),
  REDIS_URL: Type.String({ pattern: '^rediss?://', description: 'a redis:// or rediss:// URL' }),
  REDIS_PREFIX: Type.Optional(Type.String()),
  PUBLIC_ORIGIN: Type.Optional(
    Type.String({ pattern: '^https?://', description: 'an http:// or https:// URL' }),
  ),
  PRESETS: Type.Optional(Type.String()),
  PRESETS_FILE: Type.Optional(Type.String()),
})

/** @returns the exit code */
async function main(): Promise<number> {
  const read = readArguments(command, process.argv.slice(2))
  if (read.kind === 'help') {
    process.stdout.write(read.text)
    return 0
  }
  if (read.kind === 'wrong') {
    process.stderr.write(`${read.sentence}\n`)
    return exitUnchecked
  }
  const options = read.values
  let doctor: Doctor
  try {
    doctor = await openDoctor(options)
  } catch (error) {
    process.stderr.write(`${messageOf(error)}\n`)
    return exitUnchecked
  }
  try {
    const isColored = process.stdout.isTTY && !process.env['NO_COLOR']
    const findings = await runChecks(doctor.checks, (found) => {
      if (!options.json) process.stdout.write(formatFindings(found, { isColored }))
    })
    const exitCode = exitCodeOf(findings)
    const report = { at: new Date().toISOString(), stage: options.stage ?? null, exitCode, findings }
    process.stdout.write(
      options.json ? `${JSON.stringify(report, null, 2)}\n` : `\n${formatSummary(findings)}`,
    )
    return exitCode
  } finally {
    doctor.close()
  }
}

/** @throws Error with one sentence if there is nothing to check */
async function openDoctor({ stage, origin, data = '.millrace' }: Options): Promise<Doctor> {
  loadEnvFile(process.env)
  const apiKey = process.env['MILLRACE_API_KEY'] || undefined
  if (stage !== undefined) {
    // Imported here: it has AWS clients that no other system needs, and they take long to load.
    const { createStageDoctor } = await import('./doctor/stage-doctor.ts')
    const { PRESETS, PRESETS_FILE } = process.env
    const presetsFile = PRESETS_FILE || findPresetsFile(root, { PRESETS })
    const presets = { ...(PRESETS && { PRESETS }), ...(presetsFile && { PRESETS_FILE: presetsFile }) }
    const region = process.env['AWS_REGION'] || process.env['AWS_DEFAULT_REGION'] || 'us-east-1'
    return createStageDoctor({ stage, region, origin: origin?.replace(/\/$/, ''), apiKey, presets })
  }
  const found = await environmentOf(data)
  if (!found) {
    throw new StartError(
      `Millrace does not run on ${data}: start it with \`npm start\`, name a stage with --stage, or set BUCKET, REDIS_URL and EVENTS_QUEUE_URL.`,
    )
  }
  // The SDK reads its variables from the process.
  Object.assign(process.env, found)
  const environment = openEnvironment(Variables, {
    ...found,
    ...(origin && { PUBLIC_ORIGIN: origin }),
  }).complete()
  const directory = found === process.env ? undefined : resolve(data)
  return createSystemDoctor({ environment, directory, apiKey })
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

process.exitCode = await main()
