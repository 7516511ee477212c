import { answerBeforeBody } from './answer-before-body.ts'
import type { Api } from './api.ts'
import type { DirectUpload } from './direct-upload.ts'
import { followTransfer } from './follow-transfer.ts'
import { FileQuery, readIncomingFile } from './incoming-file.ts'
import type { RequestOwner } from './request-owner.ts'
import { UploadView, viewUpload } from './upload-view.ts'

/**
 * `POST /upload`: the file itself, for clients that cannot send it to S3 straight. Either as it is, with its
 * name in `?filename=` or `Content-Disposition` and its type in `Content-Type`, or as the only file of a
 * multipart/form-data form, with the fields `preset`, `sha256` and `metadata` before it.
 *
 * @param deps.silenceMs how long nothing may come before the connection is given up, in ms
 */
export function directUploadRoutes(
  api: Api,
  deps: { owner: RequestOwner; directUpload: DirectUpload; silenceMs: number },
): void {
  const { owner, directUpload, silenceMs } = deps

  api.register(async (scope: Api) => {
    answerBeforeBody(scope)
    // Bodies reach the handler unread, whatever their type.
    scope.removeAllContentTypeParsers()
    scope.addContentTypeParser('*', (_request, _body, done) => done(null))

    scope.post(
      '/upload',
      { schema: { querystring: FileQuery, response: { 201: UploadView } } },
      async (request, reply) => {
        const transfer = followTransfer(request, reply, silenceMs)
        try {
          const asking = await owner.findOrStart(request)
          const file = await readIncomingFile(request, request.query)
          const upload = await directUpload(asking, file, transfer.signal)
          reply.code(201).header('location', `/uploads/${upload.id}`)
          return viewUpload(upload)
        } finally {
          transfer.done()
        }
      },
    )
  })
}
