import { AppError, type FieldError } from '@millrace/shared/service/app-error.ts'
import type { FastifySchemaCompiler } from 'fastify'
import Type, { type TSchema } from 'typebox'
import { Compile } from 'typebox/compile'
import { Value } from 'typebox/value'
import { findWrongText } from './checked-text.ts'

/**
 * Validates the parts of a request against their schemas. Query, parameters and headers are text, so they are
 * converted to the schema's types first. A JSON body has its own types and is not converted.
 *
 * Schemas are compiled at the first request that needs them: all of them take a tenth of the CPU time of an instance's start.
 */
export const validatorCompiler: FastifySchemaCompiler<TSchema> = ({ schema, httpPart }) => {
  return (input: unknown) => {
    const validator = compile(schema)
    const value = httpPart === 'body' ? input : Value.Convert(schema, Value.Default(schema, input))
    if (validator.Check(value)) {
      // Headers cannot have such text, and a path with it is not found.
      const error = httpPart === 'body' || httpPart === 'querystring' ? textError(value) : undefined
      return error ? { error } : { value }
    }
    const closest = alternativesOf(schema).toSorted(
      (a, b) => commonFields(b, value) - commonFields(a, value),
    )[0]
    return { error: validationError((closest?.validator ?? validator).Errors(value)) }
  }
}

type Validator = ReturnType<typeof Compile>

/** Routes share schemas, and so do all apps of a process. */
const compiledSchemas = new WeakMap<TSchema, Validator>()

function compile(schema: TSchema): Validator {
  const known = compiledSchemas.get(schema)
  if (known) return known
  const compiled = Compile(schema)
  compiledSchemas.set(schema, compiled)
  return compiled
}

/** Returns the error of a value that matches its schema, but contains text that is not accepted. */
export function textError(value: unknown): AppError | undefined {
  const wrong = findWrongText(value)
  return wrong && new AppError('invalid_request', describeFields([wrong]))
}

/** One object schema of a union. */
type Alternative = { names: string[]; validator: Validator }

/** Returns the object schemas of a union, or none if the schema is not a union. */
function alternativesOf(schema: TSchema): Alternative[] {
  if (!Type.IsUnion(schema)) return []
  return schema.anyOf
    .filter(Type.IsObject)
    .map((alternative) => ({ names: Object.keys(alternative.properties), validator: compile(alternative) }))
}

/**
 * Counts the fields of a value that an alternative has. Errors are those of the alternative with the most of
 * them.
 */
function commonFields({ names }: Alternative, value: unknown): number {
  return typeof value === 'object' && value !== null ? names.filter((name) => name in value).length : 0
}

/**
 * Returns the error of a value that does not match its schema. It names the fields, but never contains a
 * value.
 */
export function validationError(findings: Finding[]): AppError {
  return new AppError('invalid_request', describeFields(fieldErrors(findings)))
}

type Finding = ReturnType<ReturnType<typeof Compile>['Errors']>[number]

/** Returns one error per field. If a field has several findings, the first is the most specific. */
function fieldErrors(findings: Finding[]): FieldError[] {
  const byField = new Map<string, string>()
  const add = (field: string, message: string) => {
    if (!byField.has(field)) byField.set(field, message)
  }
  for (const finding of findings) {
    const path = finding.instancePath.slice(1).replaceAll('/', '.')
    const at = (name: string) => (path ? `${path}.${name}` : name)
    switch (finding.keyword) {
      case 'required':
        for (const name of finding.params.requiredProperties) add(at(name), 'is required')
        break
      case 'additionalProperties':
        for (const name of finding.params.additionalProperties)
          add(at(name), 'is not a field of this request')
        break
      case 'boolean':
        // `additionalProperties: false` is reported a second time for the property itself.
        break
      default:
        add(path || 'body', finding.message)
    }
  }
  return [...byField].map(([field, message]) => ({ field, message }))
}

function describeFields(fields: FieldError[]) {
  return { message: `${fields.map(({ field, message }) => `${field} ${message}`).join('; ')}.`, fields }
}
