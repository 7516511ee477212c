import type { IncomingMessage } from 'node:http'
import { PassThrough } from 'node:stream'
import { AppError } from '@millrace/shared/service/app-error.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import { isUploadId, newUploadId } from '@millrace/shared/uploads/upload-id.ts'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Api } from '../http/api.ts'
import { createCollectGarbageDuringStream } from '../http/collect-stream-garbage.ts'
import { allowEarlyResponse } from '../http/early-response.ts'
import { traceOf } from '../http/traceparent.ts'
import { startTransferTimeout } from '../http/transfer-timeout.ts'
import type { RequestOwner } from '../identity/request-owner.ts'
import { UploadParams } from '../uploads/find-own-upload.ts'
import { readChecksum } from './tus-checksum.ts'
import type { Chunk } from './tus-chunk.ts'
import type { HandleTusRequest } from './tus-protocol.ts'

const version = '1.0.0'
const chunkType = 'application/offset+octet-stream'
/** All that tus reads of a request. */
const headersOfTus = [
  'content-length',
  'content-type',
  'tus-resumable',
  'upload-concat',
  'upload-defer-length',
  'upload-length',
  'upload-metadata',
  'upload-offset',
]
/** What a page of another origin may read of an answer. */
const exposedHeaders = [
  ...['Location', 'Retry-After', 'X-Request-Id', 'Tus-Checksum-Algorithm', 'Tus-Extension', 'Tus-Max-Size'],
  ...['Tus-Resumable', 'Tus-Version', 'Upload-Expires', 'Upload-Length', 'Upload-Metadata', 'Upload-Offset'],
].join(', ')

/**
 * `/tus`: uploads by the tus protocol, version 1.0.0, with its extensions creation, creation-with-upload,
 * termination, expiration and checksum. What is refused is answered with tus' statuses and our problems.
 *
 * @param deps.silenceMs how long nothing may come before the connection is given up, in ms
 * @param deps.closing aborts when this instance shuts down: what came until then is kept
 */
export function tusRoutes(
  api: Api,
  deps: { owner: RequestOwner; handleTusRequest: HandleTusRequest; silenceMs: number; closing: AbortSignal },
): void {
  const { owner, handleTusRequest, silenceMs, closing } = deps
  const collectGarbageDuringStream = createCollectGarbageDuringStream()

  api.register(async (scope: Api) => {
    allowEarlyResponse(scope)
    // Bodies reach the handler unread, whatever their type.
    scope.removeAllContentTypeParsers()
    scope.addContentTypeParser('*', (_request, _body, done) => done(null))
    // Refusals, too, are to be read by pages of other origins. They come with an API key or as nobody: cookies
    // are not let through.
    scope.addHook('onSend', async (_request, reply) => {
      reply
        .header('tus-resumable', version)
        .header('access-control-allow-origin', '*')
        .header('access-control-expose-headers', exposedHeaders)
    })
    const schema = { hide: true }
    // To look how far an upload is, is part of sending it.
    const options = { schema, config: { scope: 'uploads:write' } } as const

    for (const url of ['/tus', '/tus/:id']) {
      scope.options(url, { schema }, async (request, reply) => speak(request, reply, nowhere, 'OPTIONS'))
    }

    scope.post('/tus', options, async (request, reply) => {
      checkVersion(request, reply)
      const address = { owner: await owner.findOrCreate(request), id: newUploadId() }
      return speak(request, reply, address, 'POST')
    })

    // One route for each method, because each is an operation of its own.
    for (const method of ['HEAD', 'PATCH', 'DELETE', 'POST'] as const) {
      scope.route({
        method,
        url: '/tus/:id',
        ...options,
        schema: { ...schema, params: UploadParams },
        handler: async (request, reply) => {
          checkVersion(request, reply)
          const { id } = request.params
          const asking = isUploadId(id) ? await owner.find(request) : undefined
          if (!asking) throw new AppError('upload_not_found')
          return speak(request, reply, { owner: asking, id }, methodOf(request))
        },
      })
    }
  })

  async function speak(request: FastifyRequest, reply: FastifyReply, address: UploadAddress, method: string) {
    const { headers, raw } = request
    if (method === 'PATCH' && headers['content-type'] !== chunkType) {
      throw new AppError('unsupported_media_type', { message: `The bytes of a file come as ${chunkType}.` })
    }
    const checksum = readChecksum(headers['upload-checksum'])
    const transfer = startTransferTimeout(request, reply, silenceMs)
    const cutting = new AbortController()
    const signal = AbortSignal.any([transfer.signal, closing, cutting.signal])
    try {
      const answer = await handleTusRequest({
        method,
        headers: pick(headers),
        address,
        ...traceOf(request),
        openBody() {
          collectGarbageDuringStream(raw)
          return bodyUntil(raw, signal)
        },
        checksum,
        signal,
        cut: (reason) => cutting.abort(reason),
      })
      for (const [name, value] of answer.headers) reply.header(name, value)
      return reply.code(answer.status).send()
    } finally {
      transfer.done()
    }
  }
}

/** An upload that is none: what OPTIONS tells is the same for all of them. */
const nowhere = { owner: '', id: '' }

function checkVersion({ headers }: FastifyRequest, reply: FastifyReply): void {
  if (headers['tus-resumable'] === version) return
  reply.header('tus-version', version)
  throw new AppError('tus_version_unsupported')
}

/** Some networks let only GET and POST through (tus 1.0.0, "X-HTTP-Method-Override"). */
function methodOf({ method, headers }: FastifyRequest): string {
  if (method !== 'POST') return method
  const override = String(headers['x-http-method-override'] ?? '').toUpperCase()
  if (!['HEAD', 'PATCH', 'DELETE'].includes(override)) throw new AppError('upload_not_found')
  return override
}

function pick(headers: FastifyRequest['headers']): Record<string, string> {
  const picked: Record<string, string> = {}
  for (const name of headersOfTus) {
    const value = headers[name]
    if (value !== undefined) picked[name] = String(value)
  }
  return picked
}

/**
 * The body of a request, up to where it ends, the client leaves, or the signal aborts; never an error. The
 * connection stays as it is, so that an answer can still be sent.
 */
function bodyUntil(body: IncomingMessage, signal: AbortSignal): Pick<Chunk, 'bytes' | 'cutBy'> {
  const bytes = new PassThrough()
  const end = () => {
    body.unpipe(bytes)
    bytes.end()
  }
  body.once('close', end)
  if (signal.aborted) end()
  else {
    signal.addEventListener('abort', end, { once: true })
    body.pipe(bytes)
  }
  return { bytes, cutBy }

  function cutBy(): AppError | undefined {
    if (body.readableEnded) return undefined
    if (signal.reason instanceof AppError) return signal.reason
    return new AppError('invalid_request', { message: 'The connection ended before the request did.' })
  }
}
