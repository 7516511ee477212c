import { AppError } from '@millrace/shared/service/app-error.ts'
import type { FastifyInstance, FastifyRequest } from 'fastify'

/**
 * Makes requests with a `Content-Type` but without a body count as requests without a body. Libraries such as axios send one
 * type with all requests, also with DELETE. Bodies that are not JSON are refused.
 */
export function acceptEmptyBodies(app: FastifyInstance): void {
  const parseJson = app.getDefaultJsonParser('error', 'error')
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (request, body, done) => {
    // Also of unknown length: chunks without a byte.
    if (body.length === 0) done(null, undefined)
    else parseJson(request, String(body), done)
  })
  app.addContentTypeParser('*', (request, _body, done) => {
    if (request.is404 || isEmpty(request)) done(null, undefined)
    else done(new AppError('unsupported_media_type'))
  })
}

function isEmpty({ headers }: FastifyRequest): boolean {
  const length = headers['content-length']
  return headers['transfer-encoding'] === undefined && (length === undefined || length === '0')
}
