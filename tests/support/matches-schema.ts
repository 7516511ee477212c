import type { Static, TSchema } from 'typebox'
import { Compile } from 'typebox/compile'

/** Compiling a schema costs as much CPU as a request, so each is compiled once in a process. */
const validators = new WeakMap<TSchema, ReturnType<typeof Compile>>()

/** Returns whether a value matches a schema. */
export function matchesSchema<Schema extends TSchema>(
  schema: Schema,
  value: unknown,
): value is Static<Schema> {
  const validator = validators.get(schema) ?? Compile<TSchema>(schema)
  validators.set(schema, validator)
  return validator.Check(value)
}
