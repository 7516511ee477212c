import type { IncomingMessage } from 'node:http'
import { PassThrough } from 'node:stream'
import type { Budget } from '@millrace/shared/network/budget.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import { isUploadId, newUploadId } from '@millrace/shared/uploads/upload-id.ts'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Api } from '../http/api.ts'
import { budgetHolder } from '../identity/budget-holder.ts'
import type { RequestOwner } from '../identity/request-owner.ts'
import { traceOf } from '../requests/traceparent.ts'
import { createCollectGarbageDuringStream } from '../streams/collect-stream-garbage.ts'
import { allowEarlyResponse } from '../streams/early-response.ts'
import { startTransferTimeout, type TransferLimits } from '../streams/transfer-timeout.ts'
import { UploadParams } from '../uploads/find-own-upload.ts'
import { readChecksum } from './tus-checksum.ts'
import type { Chunk } from './tus-chunk.ts'
import type { HandleTusRequest } from './tus-protocol.ts'

const version = '1.0.0'
const chunkType = 'application/offset+octet-stream'
/** The request headers that tus reads. */
const tusHeaders = [
  'content-length',
  'content-type',
  'tus-resumable',
  'upload-concat',
  'upload-defer-length',
  'upload-length',
  'upload-metadata',
  'upload-offset',
]

/**
 * `/tus`: uploads by the tus protocol, version 1.0.0, with its extensions creation, creation-with-upload,
 * creation-defer-length, termination, expiration and checksum. Error responses have the statuses of tus and our problems as body.
 *
 * @param deps.uploadsAtOnce counts the requests with bytes of a file
 * @param deps.closing aborts when this instance shuts down. The bytes that came until then are stored
 */
export function tusRoutes(
  api: Api,
  deps: {
    owner: RequestOwner
    handleTusRequest: HandleTusRequest
    uploadsAtOnce: Budget
    transferLimits: TransferLimits
    closing: AbortSignal
  },
): void {
  const { owner, handleTusRequest, uploadsAtOnce, transferLimits, closing } = deps
  const collectGarbageDuringStream = createCollectGarbageDuringStream()

  api.register(async (scope: Api) => {
    allowEarlyResponse(scope)
    // The handler receives bodies unread, whatever their type.
    scope.removeAllContentTypeParsers()
    scope.addContentTypeParser('*', (_request, _body, done) => done(null))
    scope.addHook('onSend', async (_request, reply) => {
      reply.header('tus-resumable', version)
    })
    // HEAD, which returns the offset, is a part of sending, so all methods require the write scope.
    const options = { config: { scope: 'uploads:write', swagger: { exposeHeadRoute: true } } } as const

    for (const url of ['/tus', '/tus/:id']) {
      scope.options(url, async (request, reply) => handle(request, reply, noUpload, 'OPTIONS'))
    }

    scope.post('/tus', options, async (request, reply) => {
      checkVersion(request, reply)
      const address = { owner: await owner.findOrCreate(request), id: newUploadId() }
      return handle(request, reply, address, 'POST')
    })

    // One route for each method, because each is an operation of its own.
    for (const method of ['HEAD', 'PATCH', 'DELETE', 'POST'] as const) {
      scope.route({
        method,
        url: '/tus/:id',
        ...options,
        schema: { params: UploadParams },
        handler: async (request, reply) => {
          checkVersion(request, reply)
          const { id } = request.params
          const ownerId = isUploadId(id) ? await owner.find(request) : undefined
          if (!ownerId) throw new AppError('upload_not_found')
          return handle(request, reply, { owner: ownerId, id }, methodOf(request))
        },
      })
    }
  })

  async function handle(
    request: FastifyRequest,
    reply: FastifyReply,
    address: UploadAddress,
    method: string,
  ) {
    const { headers, raw } = request
    if (method === 'PATCH' && headers['content-type'] !== chunkType) {
      throw new AppError('unsupported_media_type', { message: `Content-Type of PATCH must be ${chunkType}.` })
    }
    const checksum = readChecksum(headers['upload-checksum'])
    const holder = budgetHolder(request, address.owner)
    const share = hasBytes(method, headers) ? uploadsAtOnce.take(holder) : undefined
    const transfer = startTransferTimeout(request, reply, transferLimits)
    const interruption = new AbortController()
    const signal = AbortSignal.any([transfer.signal, closing, interruption.signal])
    try {
      const response = await handleTusRequest({
        method,
        headers: pickTusHeaders(headers),
        address,
        holder,
        ...traceOf(request),
        openBody() {
          collectGarbageDuringStream(raw)
          const length = headers['content-length']
          return {
            ...readBodyUntil(raw, signal),
            ...(length !== undefined && { length: Number(length) }),
          }
        },
        checksum,
        signal,
        interrupt: (reason) => interruption.abort(reason),
      })
      for (const [name, value] of response.headers) reply.header(name, value)
      return reply.code(response.status).send()
    } finally {
      transfer.done()
      share?.release()
    }
  }
}

/** Whether a request sends bytes of a file: a PATCH, or a POST that creates an upload with its first bytes. */
function hasBytes(method: string, headers: FastifyRequest['headers']): boolean {
  return method === 'PATCH' || (method === 'POST' && headers['content-type'] === chunkType)
}

/** The address for OPTIONS, whose response is the same for all uploads. */
const noUpload = { owner: '', id: '' }

function checkVersion({ headers }: FastifyRequest, reply: FastifyReply): void {
  if (headers['tus-resumable'] === version) return
  reply.header('tus-version', version)
  throw new AppError('tus_version_unsupported')
}

/**
 * Returns the method of a request. Some networks allow only GET and POST (tus 1.0.0,
 * "X-HTTP-Method-Override").
 */
function methodOf({ method, headers }: FastifyRequest): string {
  if (method !== 'POST') return method
  const override = String(headers['x-http-method-override'] ?? '').toUpperCase()
  if (!['HEAD', 'PATCH', 'DELETE'].includes(override)) throw new AppError('upload_not_found')
  return override
}

function pickTusHeaders(headers: FastifyRequest['headers']): Record<string, string> {
  const picked: Record<string, string> = {}
  for (const name of tusHeaders) {
    const value = headers[name]
    if (value !== undefined) picked[name] = String(value)
  }
  return picked
}

/**
 * Reads the body of a request until it ends, the connection closes, or the signal aborts. The stream never
 * fails. The connection stays open, so that a response can still be sent.
 */
function readBodyUntil(body: IncomingMessage, signal: AbortSignal): Pick<Chunk, 'bytes' | 'interruption'> {
  const bytes = new PassThrough()
  const end = () => {
    // The signal also depends on one that lives as long as the process, which would keep the listener.
    signal.removeEventListener('abort', end)
    body.unpipe(bytes)
    bytes.end()
  }
  body.once('close', end)
  if (signal.aborted) end()
  else {
    signal.addEventListener('abort', end)
    body.pipe(bytes)
  }
  return { bytes, interruption }

  function interruption(): AppError | undefined {
    if (body.readableEnded) return undefined
    if (signal.reason instanceof AppError) return signal.reason
    return new AppError('invalid_request', {
      message: 'The connection closed before the whole request body was received.',
    })
  }
}
