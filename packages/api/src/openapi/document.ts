import { type ErrorCode, errorCatalogue } from '@millrace/shared/service/app-error.ts'
import { UploadProgress } from '@millrace/shared/uploads/upload-progress.ts'
import { type Operation, tags } from '../operations/operation.ts'
import { codesOutsideOperations, operations } from '../operations/operations.ts'
import { sampleId } from '../operations/sample-upload.ts'
import { codesWithRetryAfter, Problem, statusOfCode } from '../requests/problem.ts'
import { curlExample } from './curl-example.ts'
import { nameSchemas } from './name-schemas.ts'
import { shareProblems } from './share-problems.ts'
import { webhookRequests } from './webhook-requests.ts'

type Json = Record<string, unknown>
type Parameter = { name: string; in: string; required?: boolean; schema?: Json; example?: unknown }
/** An operation as collected from a route. */
type RouteOperation = {
  parameters?: Parameter[]
  requestBody?: { required?: boolean; content: Record<string, Json> }
  responses?: Record<string, { content?: Record<string, Json> }>
}
export type Paths = Record<string, Record<string, RouteOperation>>

/** Codes of all operations. All refuse query parameters that they do not have. */
const commonCodes: readonly ErrorCode[] = ['invalid_request', 'internal', 'overloaded']
/** Codes of operations that read or write stored data. Many reads write as well: sessions, counts, corrected records. */
const storedDataCodes: readonly ErrorCode[] = ['unreadable_record', 'storage_full']
/** Codes of operations that authenticate the request. */
const authenticationCodes: readonly ErrorCode[] = [
  // A wrong `Millrace-User`.
  'invalid_request',
  'unauthenticated',
  'token_invalid',
  'token_expired',
  'token_revoked',
  'identity_provider_unavailable',
  'dependency_unavailable',
  'forbidden',
  'rate_limited',
  // Reading, too, with a session that is signed in with an API key.
  'cross_site',
]
/** Codes of operations with a JSON body. */
const jsonBodyCodes: readonly ErrorCode[] = ['body_too_large', 'unsupported_media_type', 'request_timeout']

/**
 * Returns the parts of the document that do not come from routes.
 *
 * @param options.publicPath the path under which clients reach the API; empty if it has an origin for itself
 */
export function documentFrame({ version, publicPath }: { version: string; publicPath: string }) {
  return {
    openapi: '3.1.0',
    info: {
      title: 'Millrace',
      version,
      description:
        'Uploads and media processing in your own S3 bucket. Errors are RFC 9457 problems. Unknown query parameters are errors.',
      license: { name: 'MIT', identifier: 'MIT' },
    },
    servers: [{ url: publicPath || '/', description: 'on the origin of this document' }],
    tags: tags.map((tag) => ({ ...tag })),
  }
}

/**
 * Returns the document's security schemes.
 *
 * @param cookieName the name of the session cookie
 */
export function securitySchemes(cookieName: string) {
  return {
    session: {
      type: 'apiKey' as const,
      in: 'cookie' as const,
      name: cookieName,
      description:
        'A sealed cookie. The API sets it when a session starts. It is not accepted for cross-site writes.',
    },
    apiKey: {
      type: 'http' as const,
      scheme: 'bearer',
      description:
        'An upload token (`POST /tokens`), a JWT of the identity provider, or an API key of a tenant. Scopes of keys are one or more of `uploads:read`, `uploads:write`, `act-as`, `tokens`, `tenant`, ' +
        '`admin`. With `act-as`, a request may name a user of the tenant in the header `Millrace-User`: its id, ' +
        'percent-encoded as by `encodeURIComponent`. It then acts for this user alone, who owns what it uploads.',
    },
  }
}

/**
 * Completes the paths that were collected from the routes: adds descriptions, examples and problems to each
 * operation, and names the schemas.
 *
 * @param collected paths of an OpenAPI document with the routes' schemas only; they are changed in place
 * @returns the paths, the requests that webhooks get, and the components that they refer to
 */
export function completeDocument(collected: Paths) {
  for (const [path, methods] of Object.entries(collected)) {
    for (const [method, routeOperation] of Object.entries(methods)) {
      const operation = operations[`${method.toUpperCase()} ${path.replaceAll(/\{(\w+)\}/g, ':$1')}`]
      if (!operation) continue
      const described = describeOperation(routeOperation, operation)
      const source = curlExample(method, path, described, operation.exampleParameters)
      Object.assign(routeOperation, described, {
        // An extension that pages of documentation know.
        'x-codeSamples': [{ lang: 'Shell', label: 'curl', source }],
      })
    }
  }
  // Problems first: naming visits each of them once then, instead of in every operation.
  const shared = shareProblems(collected)
  // OpenAPI 3.1 cannot say what a server-sent event contains. The data of `progress` has a schema, to which texts refer.
  const { value, schemas } = nameSchemas({
    ...shared,
    webhooks: JSON.parse(JSON.stringify(webhookRequests), withEnum),
    Problem,
    UploadProgress,
  })
  return {
    paths: value['paths'],
    webhooks: value['webhooks'],
    responses: value['responses'],
    schemas: { ...schemas, ErrorCode: describeCodes(schemas['ErrorCode']) },
    examples: problemExamples(),
  }
}

/** Writes a constant of a schema as an `enum`, as @fastify/swagger does in the routes' schemas. */
function withEnum(_key: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || !('const' in value)) return value
  const { const: constant, ...rest } = value
  return { ...rest, enum: [constant] }
}

function describeOperation(route: RouteOperation, operation: Operation) {
  const { operationId, summary, description, tag, security } = operation
  const examples = operation.parameters ?? {}
  const collected = (route.parameters ?? []).filter(
    (parameter) => !(operation.requestQuery && parameter.in === 'query'),
  )
  const parameters = [
    ...collected.map((parameter) => ({
      ...parameter,
      // A schema with a default requires the field in the value that handlers get, but not in the request.
      required: parameter.required === true && parameter.schema?.['default'] === undefined,
      example: examples[parameter.name],
    })),
    ...Object.entries(operation.requestQuery ?? {}).map(([name, query]) => ({ name, in: 'query', ...query })),
    ...Object.entries(operation.requestHeaders ?? {}).map(([name, header]) => ({
      name,
      in: 'header',
      schema: { type: 'string' },
      ...header,
    })),
  ]
  const json = route.requestBody?.content['application/json']
  const content = {
    ...(json && { 'application/json': { ...json, ...withExamples(operation.body, operation.otherBodies) } }),
    ...operation.bodyContent,
  }
  const hasBody = Object.keys(content).length > 0
  return {
    operationId,
    summary,
    description,
    tags: [tag],
    security,
    ...(parameters.length > 0 && { parameters }),
    ...(hasBody && { requestBody: { required: !operation.bodyOptional, content } }),
    responses: {
      ...problemResponses(errorCodes(operation, { hasJsonBody: Boolean(json) })),
      ...otherResponses(operation, route),
    },
  }
}

function otherResponses(operation: Operation, { responses = {} }: RouteOperation): Json {
  return Object.fromEntries(
    Object.entries(operation.responses).map(([status, response]) => {
      const json = responses[status]?.content?.['application/json']
      const content = {
        ...(json && {
          'application/json': { ...json, ...withExamples(response.example, response.otherExamples) },
        }),
        ...response.content,
      }
      const headers = Object.entries(response.headers ?? {}).map(([name, description]) => [
        name,
        { description, schema: { type: 'string' } },
      ])
      return [
        status,
        {
          description: response.description,
          ...(headers.length > 0 && { headers: Object.fromEntries(headers) }),
          ...(Object.keys(content).length > 0 && { content }),
        },
      ]
    }),
  )
}

/** Returns `example`, or `examples` by name if there are several: OpenAPI allows only one of the two. */
function withExamples(usual: unknown, others?: Record<string, unknown>): Json {
  if (!others) return { example: usual }
  const named = Object.entries({ usual, ...others }).map(([name, value]) => [name, { value }])
  return { examples: Object.fromEntries(named) }
}

function errorCodes(operation: Operation, route: { hasJsonBody: boolean }): Set<ErrorCode> {
  const isAuthenticated = operation.security.length > 0
  return new Set([
    ...operation.errors,
    ...(operation.errors.includes('dependency_unavailable') ? storedDataCodes : []),
    ...(isAuthenticated ? authenticationCodes : []),
    ...(route.hasJsonBody ? jsonBodyCodes : []),
    ...commonCodes,
  ])
}

/** Returns one response per status, with its possible codes. */
function problemResponses(codes: Set<ErrorCode>): Json {
  const byStatus = Map.groupBy(codes, (code) => statusOfCode[code])
  return Object.fromEntries(
    [...byStatus].map(([status, group]) => [
      status,
      {
        description: group.map((code) => errorCatalogue[code].message).join(' Or: '),
        ...((status === 503 || group.some((code) => codesWithRetryAfter.has(code))) && {
          headers: retryAfter,
        }),
        content: {
          'application/problem+json': {
            schema: {
              allOf: [
                Problem,
                {
                  type: 'object',
                  required: ['status', 'code'],
                  properties: { status: { const: status }, code: { enum: group } },
                },
              ],
            },
            examples: Object.fromEntries(
              group.map((code) => [code, { $ref: `#/components/examples/${code}` }]),
            ),
          },
        },
      },
    ]),
  )
}

const retryAfter = { 'retry-after': { description: 'seconds', schema: { type: 'integer' } } }

/** Returns an example of each problem. The document would be three times as large with them at each operation. */
function problemExamples() {
  const statuses = new Map(Object.entries(statusOfCode))
  return Object.fromEntries(
    Object.entries(errorCatalogue).map(([code, { message }]) => {
      const type = `urn:millrace:problem:${code}`
      const status = statuses.get(code)
      const value = { type, title: message, status, detail: message, message, code, requestId: sampleId }
      return [code, { value }]
    }),
  )
}

/**
 * Adds a list of all codes to their schema, with status and message, including codes that no operation
 * returns.
 */
function describeCodes(schema: object | undefined) {
  const lines = Object.entries(errorCatalogue).map(([code, { message, retryable }]) => {
    const place =
      Object.entries(codesOutsideOperations).find(([outside]) => outside === code)?.[1] ??
      `status ${Object.entries(statusOfCode).find(([name]) => name === code)?.[1]}`
    return `- \`${code}\` (${place}${retryable ? ', retryable' : ''}): ${message}`
  })
  return { ...schema, description: lines.join('\n') }
}
