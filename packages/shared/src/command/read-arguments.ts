import { parseArgs } from 'node:util'

/** An option of a command. With `takes`, the name of its value in the help, it needs a value; without, it is on or off. */
export type CommandOption = {
  about: string
  takes?: string
  /** Returns what is wrong with a value, as the end of a sentence: `must be a whole number`. */
  check?: (text: string) => string | undefined
}

/** A command that people run with `npm run`. Its help is made of this, and its arguments are read by it. */
export type Command<Options extends Record<string, CommandOption>> = {
  /** As in `npm run <name>`. */
  name: string
  about: string
  options: Options
  /** What the help says after the options. */
  notes?: string
}

/** The values of a command's options by their names: text, or whether an option without a value was given. */
export type CommandValues<Options extends Record<string, CommandOption>> = {
  [Name in keyof Options]: Options[Name] extends { takes: string } ? string | undefined : boolean
}

/** What the arguments ask for. `wrong`: one sentence for the user. */
export type ReadArguments<Options extends Record<string, CommandOption>> =
  | { kind: 'run'; values: CommandValues<Options> }
  | { kind: 'help'; text: string }
  | { kind: 'wrong'; sentence: string }

/** Options that every command has. */
const common = { help: { about: 'print this text and exit' } } satisfies Record<string, CommandOption>

/**
 * Reads the arguments of a command.
 *
 * @param parameters without the program's name
 */
export function readArguments<Options extends Record<string, CommandOption>>(
  command: Command<Options>,
  parameters: string[],
): ReadArguments<Options> {
  const options: Record<string, CommandOption> = { ...command.options, ...common }
  const parsed = parse(options, parameters)
  if (typeof parsed === 'string') return wrong(parsed)
  if (parsed['help'] === true) return { kind: 'help', text: helpOf(command) }
  for (const [name, { check }] of Object.entries(options)) {
    const value = parsed[name]
    const problem = typeof value === 'string' ? check?.(value) : undefined
    if (problem !== undefined) return wrong(`--${name} ${problem}, not "${String(value)}"`)
  }
  const values = Object.fromEntries(
    Object.entries(options).map(([name, { takes }]) => [name, parsed[name] ?? (takes ? undefined : false)]),
  )
  if (!hasValues(command, values)) throw new TypeError('An option has no value.')
  return { kind: 'run', values }
}

/** Accepts whole numbers in a range. */
export function wholeNumber(minimum: number, maximum: number) {
  return (text: string): string | undefined => {
    const value = Number(text)
    const isRight = /^\d+$/.test(text) && value >= minimum && value <= maximum
    return isRight ? undefined : `must be a whole number from ${minimum} to ${maximum}`
  }
}

function wrong(sentence: string): { kind: 'wrong'; sentence: string } {
  return { kind: 'wrong', sentence: `${sentence}; see --help.` }
}

/** @returns the values, or what is wrong */
function parse(options: Record<string, CommandOption>, parameters: string[]) {
  try {
    return parseArgs({
      args: parameters,
      options: Object.fromEntries(
        Object.entries(options).map(([name, { takes }]) => [
          name,
          { type: takes === undefined ? ('boolean' as const) : ('string' as const) },
        ]),
      ),
    }).values
  } catch (error) {
    if (!(error instanceof TypeError)) throw error
    // Only Node's first sentence: the rest is about positional arguments, which no command has.
    return error.message.split(/\.\s/)[0]?.replace(/\.$/, '') ?? error.message
  }
}

function hasValues<Options extends Record<string, CommandOption>>(
  { options }: Command<Options>,
  values: Record<string, unknown>,
): values is CommandValues<Options> {
  return Object.entries(options).every(([name, { takes }]) =>
    takes === undefined
      ? typeof values[name] === 'boolean'
      : values[name] === undefined || typeof values[name] === 'string',
  )
}

function helpOf<Options extends Record<string, CommandOption>>(command: Command<Options>): string {
  const options = Object.entries<CommandOption>({ ...command.options, ...common })
  const names = options.map(([name, { takes }]) => `--${name}${takes === undefined ? '' : ` ${takes}`}`)
  const width = Math.max(...names.map(({ length }) => length))
  return [
    `Usage: npm run ${command.name} -- [options]`,
    '',
    command.about,
    '',
    ...options.map(([, { about }], i) => `  ${names[i]?.padEnd(width)}  ${about}`),
    ...(command.notes === undefined ? [] : ['', command.notes]),
    '',
  ].join('\n')
}
