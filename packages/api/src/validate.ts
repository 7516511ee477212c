import { AppError, type FieldError } from '@millrace/shared/app-error.ts'
import type { FastifySchemaCompiler } from 'fastify'
import type { TSchema } from 'typebox'
import { Compile } from 'typebox/compile'
import { Value } from 'typebox/value'

/**
 * Checks the parts of a request against their schemas. What travels as text (query, parameters, headers) is
 * converted to the schema's types first; a JSON body has types of its own and is taken at its word.
 */
export const validatorCompiler: FastifySchemaCompiler<TSchema> = ({ schema, httpPart }) => {
  const validator = Compile(schema)
  return (given: unknown) => {
    const value = httpPart === 'body' ? given : Value.Convert(schema, Value.Default(schema, given))
    if (validator.Check(value)) return { value }
    return { error: refusal(validator.Errors(value)) }
  }
}

/** What a value that does not fit its schema is answered with: the fields by name, never a value. */
export function refusal(findings: Finding[]): AppError {
  return new AppError('invalid_request', describe(fieldErrors(findings)))
}

type Finding = ReturnType<ReturnType<typeof Compile>['Errors']>[number]

/** One entry a field. Where a field has several findings, the first is the telling one. */
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
        // `additionalProperties: false` is told a second time for the property itself.
        break
      default:
        add(path || 'body', finding.message)
    }
  }
  return [...byField].map(([field, message]) => ({ field, message }))
}

function describe(fields: FieldError[]) {
  return { message: `${fields.map(({ field, message }) => `${field} ${message}`).join('; ')}.`, fields }
}
