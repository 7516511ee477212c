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
  'x-codeSamples': Type.Optional(Type.Array(Type.Object({ source: Type.String() }))),
  security: Type.Array(Type.Record(Type.String(), Type.Array(Type.String()))),
  parameters: Type.Optional(
    Type.Array(
      Type.Object({
        name: Type.String(),
        in: Type.String(),
        required: Type.Optional(Type.Boolean()),
        schema: Type.Object({ default: Type.Optional(Type.Unknown()) }),
        example: Type.Unknown(),
      }),
    ),
  ),
  requestBody: Type.Optional(Type.Object({ content: Content })),
  responses: Type.Record(
    Type.String({ pattern: '^[1-5][0-9]{2}$' }),
    Type.Object({
      description: Type.String({ minLength: 1 }),
      headers: Type.Optional(Type.Record(Type.String(), Type.Object({}))),
      content: Type.Optional(Content),
    }),
  ),
})

/** The part of the OpenAPI document that tests read. Fields that every operation needs are required. */
export const OpenApiDocument = Type.Object({
  openapi: Type.Literal('3.1.0'),
  paths: Type.Record(Type.String(), Type.Record(Type.String(), OperationObject)),
  webhooks: Type.Record(Type.String(), Type.Record(Type.String(), OperationObject)),
  components: Type.Object({
    schemas: Type.Record(Type.String(), Type.Object({})),
    securitySchemes: Type.Record(Type.String(), Type.Object({})),
  }),
})
export type OpenApiDocument = Static<typeof OpenApiDocument>

type DocumentReader = ReturnType<typeof readDocument>
const readers = new Map<string, () => DocumentReader>()

/**
 * Makes the tests' HTTP client check all responses of an API instance against the instance's OpenAPI document.
 *
 * @param url the URL of the instance
 * @param sameDocument what decides the document: instances of a process with the same text share one, which is expensive
 * @param createDocument creates the document; called on the first response
 * @returns ends the checks: when the instance has closed, another server may get its port
 */
export function expectDocumentedResponses(
  url: string,
  sameDocument: string,
  createDocument: () => unknown,
): () => void {
  const { origin } = new URL(url)
  readers.set(origin, () => {
    const reader = readersOfDocuments.get(sameDocument) ?? readDocument(parseDocument(createDocument()))
    readersOfDocuments.set(sameDocument, reader)
    return reader
  })
  return () => readers.delete(origin)
}

/** Readers by what decides their document. Most instances have the same one, and its validators are expensive to compile. */
const readersOfDocuments = new Map<string, DocumentReader>()

/**
 * Checks a response against the document of its instance: the status must be listed, and a JSON body must match
 * its schema, which lists the codes of a problem. Paths without a route are not checked.
 *
 * @throws Error that names what is not documented
 */
export function checkDocumentedResponse(
  url: URL,
  method: string,
  response: { status: number; headers: Headers; body: unknown },
): void {
  const reader = readers.get(url.origin)?.()
  reader?.check({ method, path: url.pathname }, response)
}

/**
 * Validates the document's structure.
 * @throws Error that names what the document lacks
 */
export function parseDocument(collected: unknown): OpenApiDocument {
  const validator = Compile(OpenApiDocument)
  const document = withComponents(collected)
  if (validator.Check(document)) return document
  const problems = validator.Errors(document).map(({ instancePath, message }) => `${instancePath} ${message}`)
  throw new Error(`The OpenAPI document is incomplete (packages/api/src/operations): ${problems.join('; ')}`)
}

/** Puts the responses and examples of the document's components where it refers to them. */
function withComponents(document: unknown): unknown {
  const named = Type.Record(Type.String(), Type.Unknown())
  const withNamed = Compile(Type.Object({ components: Type.Object({ examples: named, responses: named }) }))
  if (!withNamed.Check(document)) return document
  const { components } = document
  const resolve = (value: unknown): unknown =>
    JSON.parse(JSON.stringify(value), (_key, field) => {
      const [, kind, name = ''] = /^#\/components\/(examples|responses)\/(.+)$/.exec(field?.$ref ?? '') ?? []
      if (kind === 'examples') return components.examples[name]
      return kind === 'responses' ? resolve(components.responses[name]) : field
    })
  return resolve(document)
}

/** Returns the document's operations, and functions that check values and responses against it. */
export function readDocument(document: OpenApiDocument) {
  // Without checks of the document as a schema, which it is not, and without faster code, which a few values do not pay for.
  const ajv = new Ajv2020({
    ...{ strict: false, validateFormats: false, validateSchema: false },
    code: { optimize: false },
  })
  ajv.addSchema({ $id: 'api', ...document })
  /** By the JSON of their schema: many operations have the same one, such as that of problems. */
  const validators = new Map<string, ValidateFunction>()
  const operations = Object.entries(document.paths).map(([path, methods]) => ({
    path,
    methods,
    pattern: new RegExp(`^${path.replaceAll(/\{[^}]+\}/g, '[^/]+')}/?$`),
  }))

  return {
    operations: operations.flatMap(({ path, methods }) =>
      Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
    ),

    /**
     * Validates a value against a schema of the document.
     * @param path the keys that lead to the schema, from the document's root
     * @throws Error if the value does not match
     */
    validate(path: string[], value: unknown): void {
      const pointer = path.map((name) => name.replaceAll('~', '~0').replaceAll('/', '~1'))
      const $ref = `api#/${pointer.map(encodeURIComponent).join('/')}`
      const schema = JSON.stringify(path.reduce((value: unknown, name) => Object(value)[name], document))
      const validator = validators.get(schema) ?? ajv.compile({ $ref })
      validators.set(schema, validator)
      if (validator(value)) return
      const errors = ajv.errorsText(validator.errors)
      throw new Error(`Does not match the schema at ${path.join(' ')}: ${errors}: ${JSON.stringify(value)}`)
    },

    /** @throws Error if the response is not documented or its body does not match the schema */
    check(
      { method, path }: { method: string; path: string },
      response: { status: number; headers: Headers; body: unknown },
    ): void {
      const { status, headers, body } = response
      const contentType = headers.get('content-type')
      const { pathname } = new URL(path, 'http://localhost')
      const matching = operations.filter(({ pattern }) => pattern.test(pathname))
      // A path without parameters has priority, as in the router.
      const found = matching.find(({ path }) => !path.includes('{')) ?? matching[0]
      const name = method.toLowerCase()
      const operation = found?.methods[name]
      if (!found || !operation) return
      const documented = operation.responses[status]
      if (!documented)
        throw new Error(`${method} ${found.path} responded with ${status}, which is not documented.`)
      if (headers.has('retry-after') && !documented.headers?.['retry-after']) {
        throw new Error(`${method} ${found.path} sent Retry-After with ${status}, which is not documented.`)
      }
      const type = contentType?.split(';')[0] ?? ''
      // tus sends a type without a body.
      if (!type || body === '') return
      if (!documented.content?.[type]) {
        throw new Error(
          `${method} ${found.path} responded with ${status} and ${type}, which is not documented.`,
        )
      }
      if (!/\bjson$/.test(type) || method === 'HEAD') return
      this.validate(['paths', found.path, name, 'responses', String(status), 'content', type, 'schema'], body)
    },
  }
}
