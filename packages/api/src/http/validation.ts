import { AppError, type FieldError } from '@millrace/shared/service/app-error.ts'
import type { FastifySchemaCompiler } from 'fastify'
import Type, { type TSchema } from 'typebox'
import { Compile } from 'typebox/compile'
import { Value } from 'typebox/value'

/**
 * Checks the parts of a request against their schemas. What travels as text (query, parameters, headers) is
 * converted to the schema's types first; a JSON body has types of its own and is taken at its word.
 */
export const validatorCompiler: FastifySchemaCompiler<TSchema> = ({ schema, httpPart }) => {
  const validator = Compile(schema)
  const forms = formsOf(schema)
  return (given: unknown) => {
    const value = httpPart === 'body' ? given : Value.Convert(schema, Value.Default(schema, given))
    if (validator.Check(value)) return { value }
    const meant = forms.toSorted((a, b) => fieldsIn(b, value) - fieldsIn(a, value))[0]
    return { error: refusal(meant ? meant.validator.Errors(value) : validator.Errors(value)) }
  }
}

/** One of the forms that a body may have. */
type Form = { names: string[]; validator: ReturnType<typeof Compile> }

/** The forms of a union of objects; none where the schema is something else. */
function formsOf(schema: TSchema): Form[] {
  if (!Type.IsUnion(schema)) return []
  return schema.anyOf
    .filter(Type.IsObject)
    .map((form) => ({ names: Object.keys(form.properties), validator: Compile(form) }))
}

/** How many of a value's fields a form has: the one with most of them is what the value was meant to be. */
function fieldsIn({ names }: Form, value: unknown): number {
  return typeof value === 'object' && value !== null ? names.filter((name) => name in value).length : 0
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
