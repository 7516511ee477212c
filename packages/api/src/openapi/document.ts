import { type ErrorCode, errorCatalogue } from '@millrace/shared/service/app-error.ts'
import { Problem, statusOfCode } from '../http/problem.ts'
import { nameSchemas } from './name-schemas.ts'
import { type Operation, tags } from './operation.ts'
import { codesElsewhere, operations } from './operations.ts'
import { sampleId } from './sample-upload.ts'

type Json = Record<string, unknown>
type Parameter = { name: string; in: string; example?: unknown }
type Described = {
  parameters?: Parameter[]
  requestBody?: { required?: boolean; content: Record<string, Json> }
  responses?: Record<string, { content?: Record<string, Json> }>
}
export type Paths = Record<string, Record<string, Described>>

/** What any operation may answer whatever it does. */
const always: readonly ErrorCode[] = ['internal', 'overloaded']
/** What any operation may answer that knows who is asking. */
const whereKnown: readonly ErrorCode[] = ['unauthenticated', 'forbidden', 'rate_limited']
const whereWritten: readonly ErrorCode[] = ['cross_site']
/** An id in a path that is out of shape names nothing, whereas queries and headers are checked. */
const whereChecked: readonly ErrorCode[] = ['invalid_request']
const whereJson: readonly ErrorCode[] = [
  'invalid_request',
  'body_too_large',
  'unsupported_media_type',
  'request_timeout',
]

/** The parts of the document that do not come from routes. */
export function documentFrame(version: string) {
  return {
    openapi: '3.1.0',
    info: {
      title: 'Millrace',
      version,
      description: 'Uploads and media processing on your own S3 bucket. Errors are RFC 9457 problems.',
      license: { name: 'MIT', identifier: 'MIT' },
    },
    servers: [{ url: '/', description: 'the origin of this document' }],
    tags: tags.map((tag) => ({ ...tag })),
  }
}

/** @param cookieName as the session's cookie is called here */
export function securitySchemes(cookieName: string) {
  return {
    session: {
      type: 'apiKey' as const,
      in: 'cookie' as const,
      name: cookieName,
      description: 'A sealed cookie, handed out by itself. Not for calls from other sites.',
    },
    apiKey: {
      type: 'http' as const,
      scheme: 'bearer',
      description: 'A key that the operator made. It has scopes: `uploads:read`, `uploads:write`, `admin`.',
    },
  }
}

/**
 * Completes what was collected from the routes: says what each operation is for and gives examples, lists its
 * problems, and names the schemas.
 *
 * @param collected paths of an OpenAPI document, of the routes' schemas alone; they are changed in place
 * @returns the paths, and the schemas that they refer to
 */
export function completeDocument(collected: Paths) {
  for (const [path, methods] of Object.entries(collected)) {
    for (const [method, described] of Object.entries(methods)) {
      const operation = operations[`${method.toUpperCase()} ${path.replaceAll(/\{(\w+)\}/g, ':$1')}`]
      if (operation) Object.assign(described, describe(described, operation, method))
    }
  }
  const { value: paths, schemas } = nameSchemas({ paths: collected, Problem })
  return { paths: paths['paths'], schemas: { ...schemas, ErrorCode: describeCodes(schemas['ErrorCode']) } }
}

function describe(described: Described, operation: Operation, method: string) {
  const { operationId, summary, description, tag, security } = operation
  const examples = operation.parameters ?? {}
  const parameters = [
    ...(described.parameters ?? []).map((one) => ({ ...one, example: examples[one.name] })),
    ...Object.entries(operation.requestHeaders ?? {}).map(([name, header]) => ({
      name,
      in: 'header',
      schema: { type: 'string' },
      ...header,
    })),
  ]
  const json = described.requestBody?.content['application/json']
  const content = {
    ...(json && { 'application/json': { ...json, ...exampled(operation.body, operation.otherBodies) } }),
    ...operation.bodyContent,
  }
  const checked = (described.parameters ?? []).some((one) => one.in !== 'path')
  const hasBody = Object.keys(content).length > 0
  return {
    operationId,
    summary,
    description,
    tags: [tag],
    security,
    ...(parameters.length > 0 && { parameters }),
    ...(hasBody && { requestBody: { required: true, content } }),
    responses: {
      ...problems(errorCodes(operation, { json: Boolean(json), method, checked })),
      ...answers(operation, described),
    },
  }
}

function answers(operation: Operation, { responses = {} }: Described): Json {
  return Object.fromEntries(
    Object.entries(operation.answers).map(([status, answer]) => {
      const json = responses[status]?.content?.['application/json']
      const content = {
        ...(json && { 'application/json': { ...json, ...exampled(answer.example, answer.otherExamples) } }),
        ...answer.content,
      }
      const headers = Object.entries(answer.headers ?? {}).map(([name, description]) => [
        name,
        { description, schema: { type: 'string' } },
      ])
      return [
        status,
        {
          description: answer.description,
          ...(headers.length > 0 && { headers: Object.fromEntries(headers) }),
          ...(Object.keys(content).length > 0 && { content }),
        },
      ]
    }),
  )
}

/** OpenAPI has either one example or several that are named. */
function exampled(usual: unknown, others?: Record<string, unknown>): Json {
  if (!others) return { example: usual }
  const named = Object.entries({ usual, ...others }).map(([name, value]) => [name, { value }])
  return { examples: Object.fromEntries(named) }
}

function errorCodes(
  operation: Operation,
  route: { json: boolean; method: string; checked: boolean },
): Set<ErrorCode> {
  const isKnown = operation.security.length > 0
  return new Set([
    ...operation.errors,
    ...(isKnown ? whereKnown : []),
    ...(isKnown && route.method !== 'get' ? whereWritten : []),
    ...(route.json ? whereJson : []),
    ...(route.checked ? whereChecked : []),
    ...always,
  ])
}

/** One response a status, with the codes that it may have. */
function problems(codes: Set<ErrorCode>): Json {
  const byStatus = Map.groupBy(codes, (code) => statusOfCode[code])
  return Object.fromEntries(
    [...byStatus].map(([status, group]) => [
      status,
      {
        description: group.map((code) => errorCatalogue[code].message).join(' Or: '),
        ...(status === 503 && { headers: retryAfter }),
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
            examples: Object.fromEntries(group.map((code) => [code, { value: sampleProblem(code) }])),
          },
        },
      },
    ]),
  )
}

const retryAfter = { 'retry-after': { description: 'seconds', schema: { type: 'integer' } } }

function sampleProblem(code: ErrorCode) {
  const { message } = errorCatalogue[code]
  return {
    type: `urn:millrace:problem:${code}`,
    title: message,
    status: statusOfCode[code],
    detail: message,
    code,
    requestId: sampleId,
  }
}

/** Every code with its status and its meaning, also those that no operation answers. */
function describeCodes(schema: object | undefined) {
  const lines = Object.entries(errorCatalogue).map(([code, { message, retryable }]) => {
    const where = Object.entries(codesElsewhere).find(([other]) => other === code)?.[1]
    const place = where ?? `status ${Object.entries(statusOfCode).find(([other]) => other === code)?.[1]}`
    return `- \`${code}\` (${place}${retryable ? ', may pass' : ''}): ${message}`
  })
  return { ...schema, description: lines.join('\n') }
}
