import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js'
import Type, { type Static } from 'typebox'
import { Compile } from 'typebox/compile'

const Content = Type.Record(
  Type.String(),
  Type.Object({
    schema: Type.Object({}),
    example: Type.Optional(Type.Unknown()),
    examples: Type.Optional(Type.Record(Type.String(), Type.Object({ value: Type.Unknown() }))),
  }),
)
export const OperationObject = Type.Object({
  operationId: Type.String({ minLength: 1 }),
  summary: Type.String({ minLength: 1 }),
  description: Type.String({ minLength: 1 }),
  tags: Type.Array(Type.String(), { minItems: 1 }),
  security: Type.Array(Type.Record(Type.String(), Type.Array(Type.String()))),
  parameters: Type.Optional(
    Type.Array(
      Type.Object({
        name: Type.String(),
        in: Type.String(),
        schema: Type.Object({}),
        example: Type.Unknown(),
      }),
    ),
  ),
  requestBody: Type.Optional(Type.Object({ content: Content })),
  responses: Type.Record(
    Type.String({ pattern: '^[1-5][0-9]{2}$' }),
    Type.Object({ description: Type.String({ minLength: 1 }), content: Type.Optional(Content) }),
  ),
})

/** What the tests read of the OpenAPI document. Strict where a line of it may be missing. */
export const OpenApiDocument = Type.Object({
  openapi: Type.Literal('3.1.0'),
  paths: Type.Record(Type.String(), Type.Record(Type.String(), OperationObject)),
  components: Type.Object({
    schemas: Type.Record(Type.String(), Type.Object({})),
    securitySchemes: Type.Record(Type.String(), Type.Object({})),
  }),
})
export type OpenApiDocument = Static<typeof OpenApiDocument>

type Known = ReturnType<typeof readDocument>
const documents = new Map<string, () => Known>()

/**
 * Has all answers of an API instance that come to the tests' HTTP client checked against its own document.
 *
 * @param url of the instance
 * @param document makes the document, once it is needed
 */
export function expectDocumentedResponses(url: string, document: () => unknown): void {
  let known: Known | undefined
  documents.set(new URL(url).origin, () => {
    known ??= readDocument(parseDocument(JSON.parse(JSON.stringify(document()))))
    return known
  })
}

/**
 * Checks an answer against the document of the instance that gave it: that the status is listed, and that a
 * JSON body is of its schema, which for a problem lists the codes. Addresses that no route has are left alone.
 *
 * @throws Error that says what the document does not say
 */
export function checkDocumentedResponse(
  url: URL,
  method: string,
  answer: { status: number; headers: Headers; body: unknown },
): void {
  const document = documents.get(url.origin)?.()
  const contentType = answer.headers.get('content-type')
  document?.check({ method, path: url.pathname }, { ...answer, contentType })
}

/** @throws Error that names what the document lacks */
export function parseDocument(plain: unknown): OpenApiDocument {
  const validator = Compile(OpenApiDocument)
  if (validator.Check(plain)) return plain
  const lacks = validator.Errors(plain).map(({ instancePath, message }) => `${instancePath} ${message}`)
  throw new Error(`The OpenAPI document is incomplete (packages/api/src/openapi): ${lacks.join('; ')}`)
}

/** Knows a document by heart. */
export function readDocument(document: OpenApiDocument) {
  const ajv = new Ajv2020({ strict: false, validateFormats: false })
  ajv.addSchema({ $id: 'api', ...document })
  const validators = new Map<string, ValidateFunction>()
  const operations = Object.entries(document.paths).map(([path, methods]) => ({
    path,
    methods,
    form: new RegExp(`^${path.replaceAll(/\{[^}]+\}/g, '[^/]+')}/?$`),
  }))

  return {
    operations: operations.flatMap(({ path, methods }) =>
      Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
    ),

    /** @param at names of the way into the document to a schema */
    validate(at: string[], value: unknown): void {
      const pointer = at.map((name) => name.replaceAll('~', '~0').replaceAll('/', '~1'))
      const $ref = `api#/${pointer.map(encodeURIComponent).join('/')}`
      const validator = validators.get($ref) ?? ajv.compile({ $ref })
      validators.set($ref, validator)
      if (validator(value)) return
      const errors = ajv.errorsText(validator.errors)
      throw new Error(`Not as described at ${at.join(' ')}: ${errors}: ${JSON.stringify(value)}`)
    },

    check(
      { method, path }: { method: string; path: string },
      { status, contentType, body }: { status: number; contentType: string | null; body: unknown },
    ): void {
      const { pathname } = new URL(path, 'http://localhost')
      const matching = operations.filter(({ form }) => form.test(pathname))
      // A path without parameters goes before one with them, as in the router.
      const found = matching.find(({ path }) => !path.includes('{')) ?? matching[0]
      const name = method.toLowerCase()
      const operation = found?.methods[name]
      if (!found || !operation) return
      const response = operation.responses[status]
      if (!response) throw new Error(`${method} ${found.path} answered ${status}, which is not documented.`)
      const type = contentType?.split(';')[0] ?? ''
      if (!type) return
      if (!response.content?.[type]) {
        throw new Error(`${method} ${found.path} answered ${status} with ${type}, which is not documented.`)
      }
      if (!/\bjson$/.test(type)) return
      const at = ['paths', found.path, name, 'responses', String(status), 'content', type, 'schema']
      this.validate(at, body)
    },
  }
}
