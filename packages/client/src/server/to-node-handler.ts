import { RouteError } from '../routes/route-error.ts'
import { problemResponse } from './problem-response.ts'
import { bodyRead, maxBodyBytes, tooLong } from './read-body.ts'

/** Of `IncomingMessage` of `node:http`, what is used; frameworks add the rest. */
type NodeRequest = AsyncIterable<unknown> & {
  method?: string | undefined
  url?: string | undefined
  headers: { readonly [name: string]: string | string[] | undefined }
  readableDidRead?: boolean
  /** Express: the URL before the router removed its own path. */
  originalUrl?: string
  /** Express: what a body parser made of the body. */
  body?: unknown
  /** Google Cloud Functions: the body before it was parsed. */
  rawBody?: unknown
}

/** Of `ServerResponse` of `node:http`, what is used. */
type NodeResponse = {
  statusCode: number
  setHeader(name: string, value: string): unknown
  end(body?: Uint8Array): unknown
}

/**
 * Returns a handler for `node:http`, Express and Fastify's `request.raw` and `reply.raw`. The body must not be parsed before:
 * the signature of a webhook covers its bytes. A body that a parser has kept as bytes or as a text will do
 * (`express.raw({ type: '*' + '/*' })`).
 *
 * @param handler that of `createUploads`; it gets the framework's request as its context
 */
export function toNodeHandler<Incoming>(
  handler: (request: Request, context: Incoming) => Promise<Response>,
): (request: Incoming & NodeRequest, response: NodeResponse) => Promise<void> {
  return async (incoming, outgoing) => {
    const response = await toRequest(incoming).then((request) => handler(request, incoming), refuse)
    outgoing.statusCode = response.status
    // Node would read the rest of a body that is too long.
    if (response.status === tooLong().status) outgoing.setHeader('connection', 'close')
    for (const [name, value] of response.headers) outgoing.setHeader(name, value)
    outgoing.end(new Uint8Array(await response.arrayBuffer()))
  }
}

/** @throws RouteError; an Error if the connection breaks */
async function toRequest(incoming: NodeRequest): Promise<Request> {
  const { method = 'GET', originalUrl, url = '/', headers } = incoming
  const hasBody = method !== 'GET' && method !== 'HEAD'
  // The scheme does not matter: only the query is read.
  return new Request(new URL(originalUrl ?? url, `http://${headers['host'] ?? 'localhost'}`), {
    method,
    headers: toHeaders(headers),
    ...(hasBody && { body: await readBytes(incoming) }),
  })
}

function toHeaders(headers: NodeRequest['headers']): Headers {
  const result = new Headers()
  for (const [name, value] of Object.entries(headers)) {
    // Those of HTTP/2 that begin with a colon are no headers.
    if (name.startsWith(':')) continue
    for (const item of [value ?? []].flat()) result.append(name, item)
  }
  return result
}

/** @throws RouteError `body_read`, `request_invalid` */
async function readBytes(incoming: NodeRequest): Promise<string | Uint8Array<ArrayBuffer>> {
  for (const raw of [incoming.rawBody, incoming.body]) {
    if (typeof raw === 'string') return raw
    if (raw instanceof Uint8Array) return new Uint8Array(raw)
  }
  if (incoming.readableDidRead) {
    throw bodyRead(
      'Mount it before express.json() and other body parsers; in Fastify, in a scope whose content type parsers leave the body alone.',
    )
  }
  const chunks: Uint8Array[] = []
  let bytes = 0
  // Leaving a `for await` would destroy the connection, so that the response could not be sent.
  const iterator = incoming[Symbol.asyncIterator]()
  for (;;) {
    const { done, value } = await iterator.next()
    if (done) break
    if (!(value instanceof Uint8Array)) throw bodyRead('It has an encoding, so its bytes are lost.')
    bytes += value.byteLength
    if (bytes > maxBodyBytes) throw tooLong()
    chunks.push(value)
  }
  const body = new Uint8Array(bytes)
  let offset = 0
  for (const chunk of chunks) {
    body.set(chunk, offset)
    offset += chunk.byteLength
  }
  return body
}

/** Answers a request whose body cannot be read. */
function refuse(error: unknown): Response {
  if (!(error instanceof RouteError)) return new Response(null, { status: 400 })
  const { status, code, message: detail } = error
  return problemResponse({ status, code, detail })
}
