import Type, { type TObject, type TSchema } from 'typebox'
import { Value } from 'typebox/value'
import { scrubSecrets } from './scrub-secrets.ts'

/** The longest part of a value that a sentence shows, in characters. */
const maxShownLength = 60

/**
 * Lists what is wrong with a value: one sentence per place, each with the place, the value and what is allowed.
 *
 * An allowed text is described by its schema's `description`, for example "a redis:// or rediss:// URL".
 *
 * @param path the place of the value, for example `PRESETS[0]`; empty for the environment
 * @param isShown whether a wrong value may appear in its sentence; all values may, by default
 */
export function schemaProblems(
  schema: TSchema,
  value: unknown,
  path: string,
  isShown: (schema: TSchema) => boolean = () => true,
): string[] {
  if (Type.IsObject(schema)) {
    return isObject(value)
      ? objectProblems(schema, value, path, isShown)
      : [`${path} is ${shown(value)}; it must be an object.`]
  }
  if (Type.IsArray(schema)) {
    return Array.isArray(value)
      ? [
          ...lengthProblems(schema, value, path),
          ...value.flatMap((item, index) => schemaProblems(schema.items, item, `${path}[${index}]`, isShown)),
        ]
      : [`${path} is ${shown(value)}; it must be a list.`]
  }
  if (Value.Check(schema, value)) return []
  if (Type.IsEnum(schema)) return [`${path} is ${shown(value)}; allowed: ${schema.enum.join(', ')}.`]
  return isShown(schema)
    ? [`${path} is ${shown(value)}; it must be ${allowedForm(schema)}.`]
    : [`${path} must be ${allowedForm(schema)}.`]
}

/** Describes an integer's range: "an integer from 0 to 6". */
export function integerFrom(minimum: number | undefined, maximum: number | undefined): string {
  if (minimum === undefined) return maximum === undefined ? 'an integer' : `an integer of at most ${maximum}`
  return maximum === undefined
    ? `an integer of at least ${minimum}`
    : `an integer from ${minimum} to ${maximum}`
}

/**
 * Writes a value on one line, cut to a readable length and without credentials of URLs. Lists and objects are
 * only named as such.
 */
export function shown(value: unknown): string {
  if (Array.isArray(value)) return 'a list'
  if (isObject(value)) return 'an object'
  const text = scrubSecrets(JSON.stringify(value) ?? String(value))
  return text.length > maxShownLength ? `${text.slice(0, maxShownLength)}…` : text
}

function objectProblems(
  schema: TObject,
  value: Record<string, unknown>,
  path: string,
  isShown: (schema: TSchema) => boolean,
): string[] {
  const pathOf = (name: string) => (path === '' ? name : `${path}.${name}`)
  const { properties } = schema
  const problems = Object.entries(properties).flatMap(([name, property]) => {
    if (value[name] !== undefined) return schemaProblems(property, value[name], pathOf(name), isShown)
    return Type.IsOptional(property) ? [] : [`${pathOf(name)} is missing.`]
  })
  for (const [name, needed] of dependencies(schema)) {
    if (value[name] === undefined || value[needed] !== undefined) continue
    problems.push(`${pathOf(needed)} is missing; ${name} requires it.`)
  }
  if (option(schema, 'additionalProperties') === false) {
    const allowed = Object.keys(properties).join(', ')
    const unknown = Object.keys(value).filter((name) => !Object.hasOwn(properties, name))
    problems.push(...unknown.map((name) => `${unknownPath(path, name)} is unknown; allowed: ${allowed}.`))
  }
  return problems
}

/** The path of an unknown field. Its name can be any text, so it is quoted unless it is a plain one. */
function unknownPath(path: string, name: string): string {
  return /^[\w-]{1,40}$/.test(name) ? `${path}.${name}` : `${path}[${shown(name)}]`
}

function lengthProblems(schema: TSchema, { length }: unknown[], path: string): string[] {
  const minItems = numberOption(schema, 'minItems')
  const maxItems = numberOption(schema, 'maxItems')
  if (minItems !== undefined && length < minItems) {
    return [`${path} has ${length} entries; it must have at least ${minItems}.`]
  }
  if (maxItems !== undefined && length > maxItems) {
    return [`${path} has ${length} entries; it must have at most ${maxItems}.`]
  }
  return []
}

function allowedForm(schema: TSchema): string {
  if (Type.IsInteger(schema)) {
    return integerFrom(numberOption(schema, 'minimum'), numberOption(schema, 'maximum'))
  }
  if (Type.IsBoolean(schema)) return 'true or false'
  if ('description' in schema) return String(schema.description)
  if ('pattern' in schema) return `a text that matches ${schema.pattern}`
  const minLength = numberOption(schema, 'minLength')
  return minLength === undefined ? 'a text' : `a text of at least ${minLength} characters`
}

/** The pairs of `dependentRequired`: if the first property is set, the second one is required. */
function dependencies(schema: TObject): [name: string, needed: string][] {
  const required = option(schema, 'dependentRequired')
  if (!isObject(required)) return []
  return Object.entries(required).flatMap(([name, names]) =>
    Array.isArray(names) ? names.map((needed): [string, string] => [name, String(needed)]) : [],
  )
}

function numberOption(schema: TSchema, name: string): number | undefined {
  const value = option(schema, name)
  return typeof value === 'number' ? value : undefined
}

/** TypeBox' types of schemas do not include the options that a schema was made with. */
function option(schema: TSchema, name: string): unknown {
  return Object.entries(schema).find(([key]) => key === name)?.[1]
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
