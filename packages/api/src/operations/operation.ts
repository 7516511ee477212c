import type { ErrorCode } from '@millrace/shared/service/app-error.ts'

/**
 * Security requirements (OpenAPI): each entry names a security scheme and its scopes. One entry is enough.
 */
export const securityRequirements = {
  none: [],
  read: [{ session: [] }, { apiKey: ['uploads:read'] }],
  write: [{ session: [] }, { apiKey: ['uploads:write'] }],
  /** A request without session and API key starts a new session. */
  writeOrNewSession: [{}, { session: [] }, { apiKey: ['uploads:write'] }],
  readOrNewSession: [{}, { session: [] }, { apiKey: ['uploads:read'] }],
  tokens: [{ apiKey: ['tokens'] }],
  tenant: [{ apiKey: ['tenant'] }],
  admin: [{ apiKey: ['admin'] }],
} as const

export const tags = [
  { name: 'uploads', description: 'Announce files, send them, read their state.' },
  { name: 'tus', description: 'Files in resumable pieces, by the tus protocol 1.0.0.' },
  { name: 'uppy', description: "What Uppy's plugin `@uppy/aws-s3` sends." },
  { name: 'events', description: 'Live changes of uploads, as server-sent events.' },
  { name: 'downloads', description: 'Originals and variants of uploads that passed inspection.' },
  {
    name: 'session',
    description: 'A sealed cookie identifies the session. All instances share it.',
  },
  {
    name: 'tenant',
    description: 'What the backend of an app does: its users, their tokens, its API keys and webhooks.',
  },
  { name: 'operation', description: 'Health checks and the state of the fleet.' },
] as const

/** A body that has no TypeBox schema in its route, in OpenAPI's form. */
export type Content = Record<string, { schema: object; example: unknown }>

/** A response that is not a problem. The schema of its JSON body comes from the route. */
export type DocumentedResponse = {
  description: string
  /** Example of the JSON body. It must match the route's schema. */
  example?: unknown
  /** Examples of other forms of the JSON body, by name. */
  otherExamples?: Record<string, unknown>
  /** Descriptions of headers, by header name. */
  headers?: Record<string, string>
  content?: Content
}

/** The OpenAPI description of a route, without the schemas, which come from the route. */
export type Operation = {
  /** Its stable name, also in log lines. */
  operationId: string
  /** One line, in the imperative. */
  summary: string
  /** Markdown. */
  description: string
  tag: (typeof tags)[number]['name']
  security: readonly Record<string, readonly string[]>[]
  /** Examples of path, query and header parameters, by name. */
  parameters?: Record<string, unknown>
  /** Optional parameters that the example request has. It has all that are required. */
  exampleParameters?: readonly string[]
  /** Headers that the handler reads without a schema, and their examples. */
  requestHeaders?: Record<string, { description: string; example: string; required?: true }>
  /** Parameters of a query whose schema has no fields, in OpenAPI's form and without their names. */
  requestQuery?: Record<
    string,
    { required: boolean; schema: object; example: unknown; [field: string]: unknown }
  >
  /** Example of the JSON body. */
  body?: unknown
  /** Whether the request may have no body. */
  bodyOptional?: true
  /** Examples of other forms of the JSON body, by name. */
  otherBodies?: Record<string, unknown>
  /** Bodies of other content types. */
  bodyContent?: Content
  responses: Record<number, DocumentedResponse>
  /**
   * Error codes of this operation alone. document.ts adds the codes that all such operations have in common.
   */
  errors: readonly ErrorCode[]
}

/** Operations by method and path, as registered with Fastify: `GET /uploads/:id`. */
export type Operations = Record<string, Operation>
