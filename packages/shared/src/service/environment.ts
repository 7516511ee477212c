import type { Static, TObject, TProperties } from 'typebox'
import { Compile } from 'typebox/compile'

/** A process's environment, as `process.env` gives it. */
export type Environment = Record<string, string | undefined>

/** The environment does not fit the schema. The message names each variable, and never a value. */
export class EnvironmentError extends Error {
  override readonly name = 'EnvironmentError'
}

/**
 * Reads the variables that a schema names out of an environment.
 *
 * Strings are converted to the schema's types ("3000" → 3000), missing ones take their default, and an
 * empty variable counts as missing, since `NAME=` in a file is how people leave one out.
 *
 * @param schema one property a variable, named exactly like it
 * @param environment usually `process.env`
 * @returns the values, frozen
 * @throws EnvironmentError that lists all problems at once
 */
export function readEnvironment<Properties extends TProperties>(
  schema: TObject<Properties>,
  environment: Environment,
): Readonly<Static<TObject<Properties>>> {
  const validator = Compile(schema)
  const given: Record<string, unknown> = {}
  for (const name of Object.keys(schema.properties)) {
    const value = environment[name]
    if (value !== undefined && value !== '') given[name] = value
  }
  const values = validator.Convert(validator.Default(given))
  if (!validator.Check(values)) {
    const problems = validator
      .Errors(values)
      .flatMap((error) =>
        error.keyword === 'required'
          ? error.params.requiredProperties.map((name) => `${name} is missing`)
          : [`${error.instancePath.slice(1)} ${error.message}`],
      )
    throw new EnvironmentError(`The environment is not complete: ${problems.join('; ')}.`)
  }
  return Object.freeze(values)
}
