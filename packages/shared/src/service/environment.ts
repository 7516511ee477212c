import Type, { type Static, type TObject, type TProperties, type TSchema } from 'typebox'
import { Compile } from 'typebox/compile'
import { Value } from 'typebox/value'
import { schemaProblems } from './schema-problems.ts'

/** A process's environment, in the form of `process.env`. */
export type Environment = Record<string, string | undefined>

/** Records a problem: one sentence that names the variable and contains no secret. */
export type ReportProblem = (problem: string) => void

/** The environment is wrong. `problems` holds one sentence per problem; none contains a secret. */
export class EnvironmentError extends Error {
  override readonly name = 'EnvironmentError'
  readonly problems: readonly string[]

  constructor(problems: readonly string[]) {
    super(problems.join('\n'))
    this.problems = problems
  }
}

/**
 * Reads the variables of a schema from an environment, and collects all problems before it fails.
 *
 * It converts texts to the schema's types ("3000" → 3000) and applies defaults. An empty variable counts as
 * missing, because people write `NAME=` in a file to leave a variable out. A problem shows the value of an
 * integer, a boolean or an enum, and the value of a text only if its schema has `showValue: true`: texts can
 * be secrets.
 *
 * @param schema one property per variable, with the variable's name
 * @param environment usually `process.env`
 */
export function openEnvironment<Properties extends TProperties>(
  schema: TObject<Properties>,
  environment: Environment,
) {
  const values: Record<string, unknown> = {}
  for (const [name, property] of Object.entries(schema.properties)) {
    const text = environment[name]
    if (text !== undefined && text !== '') values[name] = convertText(property, text)
    else if ('default' in property) values[name] = property.default
  }
  const problems = schemaProblems(schema, values, '', mayShow)
  return {
    /** Returns the text of a variable, or its default; undefined if there is neither. It is not checked yet. */
    text(name: keyof Properties & string): string | undefined {
      const value = values[name]
      return typeof value === 'string' ? value : undefined
    },

    /** Adds a problem that the schema does not find. */
    report(problem: string): void {
      problems.push(problem)
    },

    /**
     * Returns all values, frozen.
     * @throws EnvironmentError with all problems, if there are any
     */
    complete(): Readonly<Static<TObject<Properties>>> {
      if (problems.length > 0 || !Compile(schema).Check(values)) throw new EnvironmentError(problems)
      return Object.freeze(values)
    },
  }
}

/** Throws a problem at once, for callers that do not collect problems. */
export function throwProblem(problem: string): never {
  throw new EnvironmentError([problem])
}

/**
 * Declares a variable that holds a comma-separated list.
 *
 * @param isItem checks one trimmed item
 * @param description what the items must be, in the plural: "ports from 1 to 65535"
 * @param fallback the default, as text
 */
export function listVariable(isItem: (item: string) => boolean, description: string, fallback = '') {
  return Type.Refine(
    Type.String({
      default: fallback,
      description: `${description}, comma separated`,
      showValue: true,
    }),
    (text) => splitList(text).every(isItem),
  )
}

/** Splits a comma-separated list. Spaces around items and empty items are ignored. */
export function splitList(text: string): string[] {
  return text
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '')
}

/** TypeBox' own conversion to integers rounds 3.7 to 3 and turns "true" into 1. */
function convertText(property: TSchema, text: string): unknown {
  if (Type.IsBoolean(property)) return Value.Convert(property, text)
  if (Type.IsInteger(property)) return /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : text
  return text
}

function mayShow(property: TSchema): boolean {
  return !Type.IsString(property) || 'showValue' in property
}
