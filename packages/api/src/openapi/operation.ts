import type { ErrorCode } from '@millrace/shared/service/app-error.ts'

/** Who may call an operation: names of security schemes with the scopes they need, one of them is enough. */
export const access = {
  everyone: [],
  read: [{ session: [] }, { apiKey: ['uploads:read'] }],
  write: [{ session: [] }, { apiKey: ['uploads:write'] }],
  /** Who comes with neither gets a session on the way. */
  start: [{}, { session: [] }, { apiKey: ['uploads:write'] }],
  admin: [{ apiKey: ['admin'] }],
} as const

export const tags = [
  { name: 'uploads', description: 'Announce files, send them, look at what became of them.' },
  { name: 'events', description: 'Every change, live, as server-sent events.' },
  { name: 'downloads', description: 'What workers made of the files, once inspection has passed.' },
  {
    name: 'session',
    description: 'Who is asking: a sealed cookie names a session, shared by all instances.',
  },
  { name: 'operation', description: 'What load balancers and people on call ask.' },
] as const

/** A body that is not plain JSON of a TypeBox schema, as OpenAPI describes it. */
export type Content = Record<string, { schema: object; example: unknown }>

/** An answer other than a problem. The schema of a JSON body comes from the route itself. */
export type Answer = {
  description: string
  /** Of the JSON body, which must be valid by the route's own schema. */
  example?: unknown
  /** Of the JSON body's other forms, by what they are examples of. */
  otherExamples?: Record<string, unknown>
  /** Header names and what they say. */
  headers?: Record<string, string>
  content?: Content
}

/** What the OpenAPI document says of a route besides the shapes, which the route's own schemas give. */
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
  /** Headers that the handler reads without a schema, and their examples. */
  requestHeaders?: Record<string, { description: string; example: string }>
  /** Example of the JSON body. */
  body?: unknown
  /** Examples of its other forms, by what they are examples of. */
  otherBodies?: Record<string, unknown>
  /** Bodies of other kinds. */
  bodyContent?: Content
  answers: Record<number, Answer>
  /** What it may answer besides what any operation with such inputs may (see document.ts). */
  errors: readonly ErrorCode[]
}

/** By method and path, as Fastify knows them: `GET /uploads/:id`. */
export type Operations = Record<string, Operation>
