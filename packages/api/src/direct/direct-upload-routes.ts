import { AppError } from '@millrace/shared/service/app-error.ts'
import { storedType, unknownType } from '@millrace/shared/uploads/content-type.ts'
import type { FastifyReply, FastifyRequest } from 'fastify'
import Type, { type Static } from 'typebox'
import { IdempotencyHeaders } from '../announcing/idempotency-key.ts'
import type { Api } from '../http/api.ts'
import { createCollectGarbageDuringStream } from '../streams/collect-stream-garbage.ts'
import { allowEarlyResponse } from '../streams/early-response.ts'
import { startTransferTimeout, type TransferLimits } from '../streams/transfer-timeout.ts'
import { UploadView } from '../uploads/upload-view.ts'
import { FileQuery, openIncomingFiles } from './incoming-file.ts'
import type { ReceiveFiles } from './receive-files.ts'

/** The uploads of a form with several files. */
export const SentFiles = Type.Object(
  { uploads: Type.Array(UploadView, { description: 'in the order of the files' }) },
  { title: 'SentFiles' },
)

const Sent = Type.Union([UploadView, SentFiles])

/**
 * `POST /upload`: receives the file itself, for clients that cannot send it to S3 directly. The body is either the file, with
 * its name in `?filename=` or `Content-Disposition` and its type in `Content-Type`, or a multipart/form-data form with files,
 * as forms of HTML, FilePond, Dropzone and Uppy send it. `PUT /upload/{filename}` does the same, for `curl -T`.
 */
export function directUploadRoutes(
  api: Api,
  deps: { receiveFiles: ReceiveFiles; transferLimits: TransferLimits },
): void {
  const { receiveFiles, transferLimits } = deps
  const collectGarbageDuringStream = createCollectGarbageDuringStream()

  api.register(async (scope: Api) => {
    allowEarlyResponse(scope)
    // The handler receives bodies unread, whatever their type.
    scope.removeAllContentTypeParsers()
    scope.addContentTypeParser('*', (_request, _body, done) => done(null))
    scope.addHook('onRequest', (request, _reply, done) => {
      const type = request.headers['content-type']
      // Fastify would refuse what is no media type. The declared type decides nothing.
      if (type !== undefined && storedType(type) === unknownType)
        request.headers['content-type'] = unknownType
      done()
    })
    const schema = { headers: IdempotencyHeaders, querystring: FileQuery, response: { 201: Sent } }

    scope.post('/upload', { schema }, (request, reply) => receive(request, reply))
    scope.put('/upload', { schema }, (request, reply) => receive(request, reply))
    scope.put(
      '/upload/*',
      // A wildcard, because parameters have a limit that encoded names exceed.
      { schema: { ...schema, hide: true, params: Type.Record(Type.String(), Type.String()) } },
      (request, reply) => receive(request, reply, request.params['*']),
    )
  })

  async function receive(
    request: FastifyRequest<{
      Querystring: Static<typeof FileQuery>
      Headers: Static<typeof IdempotencyHeaders>
    }>,
    reply: FastifyReply,
    path?: string,
  ): Promise<Static<typeof Sent>> {
    const transfer = startTransferTimeout(request, reply, transferLimits)
    collectGarbageDuringStream(request.raw)
    try {
      const files = openIncomingFiles(request, request.query, path?.split('/').at(-1))
      const uploads = await receiveFiles(request, files, {
        key: request.headers['idempotency-key'],
        signal: transfer.signal,
      })
      reply.code(201)
      const [upload, another] = uploads
      if (!upload) throw new AppError('internal')
      if (another) return { uploads }
      reply.header('location', `/uploads/${upload.id}`)
      return upload
    } finally {
      transfer.done()
    }
  }
}
