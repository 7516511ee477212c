import { AppError } from '@millrace/shared/service/app-error.ts'
import type { FastifyReply, FastifyRequest } from 'fastify'
import Type from 'typebox'
import type { Api } from '../http/api.ts'
import type { QueueBoard } from './queue-board.ts'

/** The path of the page. */
export const boardPath = '/admin/queues'

/** The page loads from this origin and connects to this origin only. */
const pagePolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'self'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

/** How long a browser keeps scripts and styles, in seconds. Their names contain a hash. */
const fileSeconds = 24 * 60 * 60

/** What is told of an error without a reason. */
const defaultReason = 'Bull Board could not do this.'

/**
 * What the board may change: pause and resume queues, retry failed jobs, promote delayed ones. Its other functions would break
 * what the service relies on: jobs are bounded, are added with a turn and a message behind them, and are removed by their
 * handlers.
 */
const changes = [
  /^\/api\/queues\/(?:[a-z]+\/)?(?:pause|resume)$/,
  /^\/api\/queues\/[a-z]+\/promote$/,
  /^\/api\/queues\/[a-z]+\/retry\/failed$/,
  /^\/api\/queues\/[a-z]+\/[A-Za-z0-9_-]+\/(?:retry|promote)$/,
]

/** `/admin/queues`: Bull Board. Its requests that change something are `PUT`. */
export function queueBoardRoutes(api: Api, { board }: { board: QueueBoard }): void {
  const config = { scope: 'admin' } as const
  // The board reads its own parameters.
  const schema = { hide: true, querystring: Type.Record(Type.String(), Type.Unknown()) }

  api.get(boardPath, { config, schema }, (request, reply) => show(request, reply))
  api.get(`${boardPath}/*`, { config, schema }, (request, reply) => show(request, reply))
  const change = {
    config,
    schema: { ...schema, body: Type.Object({}, { additionalProperties: false }) },
    preValidation: async (request: FastifyRequest) => {
      request.body ??= {}
    },
  }
  api.put(`${boardPath}/*`, change, async (request, reply) => {
    const path = pathOf(request)
    if (!changes.some((form) => form.test(path))) {
      throw new AppError('forbidden', {
        message:
          'Here, queues can be paused and resumed, failed jobs retried and delayed ones promoted, nothing else.',
      })
    }
    request.log.info({ event: 'queues-changed', change: path }, 'an operator changed a queue')
    const response = await board.respond({ method: 'PUT', path })
    if (response.status >= 500) {
      throw new AppError('conflict', { message: `The queue was not changed: ${reasonOf(response)}` })
    }
    return send(reply, response)
  })

  async function show(request: FastifyRequest, reply: FastifyReply) {
    const method = request.method === 'HEAD' ? 'HEAD' : 'GET'
    const response = await board.respond({ method, path: pathOf(request) })
    if (response.status >= 500) throw new AppError('dependency_unavailable', { message: reasonOf(response) })
    return send(reply, response)
  }

  /** @throws AppError with the board's reason, so that errors have the API's form */
  function send(
    reply: FastifyReply,
    { status, contentType, body }: Awaited<ReturnType<QueueBoard['respond']>>,
  ) {
    if (status === 404) throw new AppError('not_found')
    if (status >= 400) throw new AppError('invalid_request', { message: reasonOf({ body }) })
    const isFile = /^(?:text\/(?:css|javascript)|application\/javascript|image\/)/.test(contentType)
    return reply
      .code(status)
      .header('content-security-policy', pagePolicy)
      .header('cache-control', isFile && status === 200 ? `private, max-age=${fileSeconds}` : 'no-store')
      .type(contentType)
      .send(body)
  }
}

/** Returns the reason that the board gives for an error. */
function reasonOf({ body }: { body: Buffer | string }): string {
  try {
    const parsed: unknown = JSON.parse(String(body))
    const texts = typeof parsed === 'object' && parsed !== null ? Object.values(parsed) : []
    return texts.find((text) => typeof text === 'string' && text.includes(' ')) ?? defaultReason
  } catch {
    return defaultReason
  }
}

/** Returns the path and query of a request below the page's path. */
function pathOf({ url }: FastifyRequest): string {
  const rest = url.slice(boardPath.length)
  return rest.startsWith('/') ? rest : `/${rest}`
}
