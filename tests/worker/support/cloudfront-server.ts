import { EventEmitter, once } from 'node:events'
import { createServer } from 'node:http'
import { text } from 'node:stream/consumers'

const namespace = 'http://cloudfront.amazonaws.com/doc/2020-05-31/'

/** An invalidation as a client asked for it. */
export type Invalidation = { distributionId: string; reference: string; paths: string[] }

export type CloudFrontServer = Awaited<ReturnType<typeof startCloudFrontServer>>

/**
 * Starts a local CloudFront API that accepts CreateInvalidation as the SDK sends it (REST with XML, signed). A request with the
 * reference of an earlier one makes no second invalidation.
 *
 * @param onInvalidation is called with each new invalidation
 */
export async function startCloudFrontServer(onInvalidation: (paths: string[]) => void = () => {}) {
  const invalidations: Invalidation[] = []
  const created = new EventEmitter()
  let isBusy = false
  const server = createServer(async (request, response) => {
    const body = await text(request)
    const [, distributionId] =
      /^\/2020-05-31\/distribution\/([^/]+)\/invalidation$/.exec(request.url ?? '') ?? []
    const isSigned = /^AWS4-HMAC-SHA256 .*\/us-east-1\/cloudfront\/aws4_request/.test(
      request.headers.authorization ?? '',
    )
    const valuesOf = (name: string) =>
      [...body.matchAll(new RegExp(`<${name}>([^<]*)</${name}>`, 'g'))].map(([, value]) => value ?? '')
    const paths = valuesOf('Path')
    const [reference = ''] = valuesOf('CallerReference')
    const respond = (status: number, xml: string) =>
      response.writeHead(status, { 'content-type': 'text/xml' }).end(`<?xml version="1.0"?>\n${xml}`)
    const isValid =
      request.method === 'POST' &&
      isSigned &&
      reference !== '' &&
      valuesOf('Quantity')[0] === `${paths.length}`
    if (distributionId === undefined || !isValid) {
      respond(400, errorXml('InvalidArgument'))
    } else if (isBusy) {
      respond(400, errorXml('TooManyInvalidationsInProgress'))
    } else {
      if (!invalidations.some((each) => each.reference === reference)) {
        invalidations.push({ distributionId, reference, paths })
        onInvalidation(paths)
      }
      respond(
        201,
        `<Invalidation xmlns="${namespace}"><Id>I1</Id><Status>InProgress</Status><CreateTime>2026-11-28T00:00:00Z</CreateTime>${body.slice(body.indexOf('<InvalidationBatch'))}</Invalidation>`,
      )
      created.emit('created')
    }
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('The server has no port.')
  return {
    endpoint: `http://127.0.0.1:${address.port}`,
    invalidations,
    /** Whether it says that too many invalidations are in progress. */
    setBusy(next: boolean) {
      isBusy = next
    },
    /** Waits for the next accepted request. */
    nextInvalidation: () => once(created, 'created'),
    async close() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

function errorXml(code: string): string {
  return `<ErrorResponse xmlns="${namespace}"><Error><Type>Sender</Type><Code>${code}</Code><Message>No.</Message></Error><RequestId>r1</RequestId></ErrorResponse>`
}
