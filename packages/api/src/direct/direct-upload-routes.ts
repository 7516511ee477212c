import type { Budget } from '@millrace/shared/service/budget.ts'
import type { FastifyRequest } from 'fastify'
import type { Api } from '../http/api.ts'
import { createCollectGarbageDuringStream } from '../http/collect-stream-garbage.ts'
import { allowEarlyResponse } from '../http/early-response.ts'
import { startTransferTimeout, type TransferLimits } from '../http/transfer-timeout.ts'
import { budgetHolder } from '../identity/budget-holder.ts'
import { IdempotencyHeaders, type WithIdempotencyKey } from '../uploads/idempotency-key.ts'
import { UploadView, type ViewUpload } from '../uploads/upload-view.ts'
import type { DirectUpload } from './direct-upload.ts'
import { FileQuery, readIncomingFile } from './incoming-file.ts'

/**
 * `POST /upload`: receives the file itself, for clients that cannot send it to S3 directly. The body is
 * either the file, with its name in `?filename=` or `Content-Disposition` and its type in `Content-Type`, or
 * a multipart/form-data form with one file and, before it, the fields `preset`, `sha256` and `metadata`.
 *
 * @param deps.uploadsAtOnce counts the files that are being received
 */
export function directUploadRoutes(
  api: Api,
  deps: {
    withIdempotencyKey: WithIdempotencyKey
    directUpload: DirectUpload
    uploadsAtOnce: Budget
    transferLimits: TransferLimits
    viewUpload: ViewUpload
  },
): void {
  const { withIdempotencyKey, directUpload, uploadsAtOnce, transferLimits, viewUpload } = deps
  const collectGarbageDuringStream = createCollectGarbageDuringStream()

  api.register(async (scope: Api) => {
    allowEarlyResponse(scope)
    // The handler receives bodies unread, whatever their type.
    scope.removeAllContentTypeParsers()
    scope.addContentTypeParser('*', (_request, _body, done) => done(null))

    scope.post(
      '/upload',
      { schema: { headers: IdempotencyHeaders, querystring: FileQuery, response: { 201: UploadView } } },
      async (request, reply) => {
        const transfer = startTransferTimeout(request, reply, transferLimits)
        collectGarbageDuringStream(request.raw)
        try {
          const upload = await withIdempotencyKey(
            request,
            {
              key: request.headers['idempotency-key'],
              content: contentOf(request),
              // S3 has the file already, so the body is not read.
              respondAgain: (upload) => viewUpload(upload, request.caller?.user),
            },
            async (ownerId, keyed) => {
              const holder = budgetHolder(request, ownerId)
              const share = uploadsAtOnce.take(holder)
              try {
                const file = await readIncomingFile(request, request.query)
                const upload = await directUpload(holder, file, { signal: transfer.signal, keyed })
                return viewUpload(upload, request.caller?.user)
              } finally {
                share.release()
              }
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
 * Returns the content that identifies a request without reading the file. The boundary is left out, because
 * clients choose a new one each time they send a form.
 */
function contentOf({ headers, query }: FastifyRequest): unknown {
  const type = headers['content-type']?.replace(/; *boundary=.*$/i, '')
  return ['POST /upload', query, [type, headers['content-length'], headers['content-disposition']]]
}
