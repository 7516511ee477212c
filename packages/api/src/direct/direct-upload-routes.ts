import type { FastifyRequest } from 'fastify'
import { Compile } from 'typebox/compile'
import type { Api } from '../http/api.ts'
import { createCollectGarbageDuringStream } from '../http/collect-stream-garbage.ts'
import { allowEarlyResponse } from '../http/early-response.ts'
import { startTransferTimeout } from '../http/transfer-timeout.ts'
import { IdempotencyHeaders, type WithIdempotencyKey } from '../uploads/idempotency-key.ts'
import { UploadView, viewUpload } from '../uploads/upload-view.ts'
import type { DirectUpload } from './direct-upload.ts'
import { FileQuery, readIncomingFile } from './incoming-file.ts'

const uploadView = Compile(UploadView)

/**
 * `POST /upload`: the file itself, for clients that cannot send it to S3 straight. Either as it is, with its
 * name in `?filename=` or `Content-Disposition` and its type in `Content-Type`, or as the only file of a
 * multipart/form-data form, with the fields `preset`, `sha256` and `metadata` before it.
 *
 * @param deps.silenceMs how long nothing may come before the connection is given up, in ms
 */
export function directUploadRoutes(
  api: Api,
  deps: { withIdempotencyKey: WithIdempotencyKey; directUpload: DirectUpload; silenceMs: number },
): void {
  const { withIdempotencyKey, directUpload, silenceMs } = deps
  const collectGarbageDuringStream = createCollectGarbageDuringStream()

  api.register(async (scope: Api) => {
    allowEarlyResponse(scope)
    // Bodies reach the handler unread, whatever their type.
    scope.removeAllContentTypeParsers()
    scope.addContentTypeParser('*', (_request, _body, done) => done(null))

    scope.post(
      '/upload',
      { schema: { headers: IdempotencyHeaders, querystring: FileQuery, response: { 201: UploadView } } },
      async (request, reply) => {
        const transfer = startTransferTimeout(request, reply, silenceMs)
        collectGarbageDuringStream(request.raw)
        try {
          const upload = await withIdempotencyKey(
            request,
            { key: request.headers['idempotency-key'], content: contentOf(request), answer: uploadView },
            async (asking) => {
              const file = await readIncomingFile(request, request.query)
              return viewUpload(await directUpload(asking, file, transfer.signal))
            },
          )
          reply.code(201).header('location', `/uploads/${upload.id}`)
          return upload
        } finally {
          transfer.done()
        }
      },
    )
  })
}

/**
 * What tells a request from another without reading the file. The boundary of a form is made up anew each time
 * that the form is sent.
 */
function contentOf({ headers, query }: FastifyRequest): unknown {
  const type = headers['content-type']?.replace(/; *boundary=.*$/i, '')
  return ['POST /upload', query, [type, headers['content-length'], headers['content-disposition']]]
}
