import type { Budget } from '@millrace/shared/network/budget.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import type { FastifyRequest } from 'fastify'
import type { KeyedId, WithIdempotencyKey } from '../announcing/idempotency-key.ts'
import { budgetHolder } from '../identity/budget-holder.ts'
import type { UploadView, ViewUpload } from '../uploads/upload-view.ts'
import type { DirectUpload } from './direct-upload.ts'
import { invalidForm } from './form-parts.ts'
import type { IncomingFile, IncomingFiles } from './incoming-file.ts'

/** Limit of the files of one form. Requests are counted by rate limits, not their files. */
const defaultMaxFiles = 100

/**
 * Receives the files of a request one after the other. Each is an upload of its own, stored once it is whole and what
 * follows it in the form was seen. What happens to a later file does not change it.
 *
 * @param deps.uploadsAtOnce counts the files that are being received
 * @param deps.maxFiles limit of the files of one form
 */
export function createReceiveFiles(deps: {
  withIdempotencyKey: WithIdempotencyKey
  directUpload: DirectUpload
  uploadsAtOnce: Budget
  viewUpload: ViewUpload
  maxFiles?: number
}) {
  const { withIdempotencyKey, directUpload, uploadsAtOnce, viewUpload, maxFiles = defaultMaxFiles } = deps

  /**
   * Stores the files.
   *
   * @param options.key the Idempotency-Key. Each file of a form has one of its own, made of it and the file's position
   * @param options.signal aborts when the client can send no more
   * @returns the uploads in the order of the files, at least one
   * @throws AppError as `directUpload` and `withIdempotencyKey` do. If it is not the first file, the message tells which ones
   *   are stored
   */
  return async function receiveFiles(
    request: FastifyRequest,
    files: IncomingFiles,
    options: { key: string | undefined; signal: AbortSignal },
  ): Promise<UploadView[]> {
    const uploads: UploadView[] = []
    /** Who sends the files without a key. A client without a session has got one with the first file, and has no keys. */
    let withoutKey: string | undefined
    try {
      const first = await receive(async () => {
        const file = await files.next()
        if (!file) throw invalidForm('The form must contain a file.')
        return file
      })
      uploads.push(first)
      // Only a form can have another one. The rest of a raw body is not read if S3 has the file already.
      if (!files.isForm) return uploads
      for (let file = await files.next(); file; file = await files.next()) {
        if (uploads.length === maxFiles) throw invalidForm(`The form must contain at most ${maxFiles} files.`)
        const next = file
        uploads.push(await receive(async () => next))
      }
      return uploads
    } catch (error) {
      files.abandon()
      throw uploads.length > 0 && error instanceof AppError ? afterStored(error, uploads) : error
    }

    async function receive(open: () => Promise<IncomingFile>): Promise<UploadView> {
      const { key, signal } = options
      const number = uploads.length + 1
      let isStored = false
      const send = async (ownerId: string, keyed?: KeyedId) => {
        if (!keyed) withoutKey = ownerId
        const holder = budgetHolder(request, ownerId)
        const share = uploadsAtOnce.take(holder)
        try {
          const upload = await directUpload(holder, await open(), { signal, keyed })
          return viewUpload(upload, request.caller?.user)
        } finally {
          share.release()
        }
      }
      if (withoutKey !== undefined) return send(withoutKey)
      const upload = await withIdempotencyKey(
        request,
        {
          // A client's own key has no space.
          key: key === undefined || number === 1 ? key : `${key} ${number}`,
          content: contentOf(request),
          respondAgain(upload) {
            isStored = true
            return viewUpload(upload, request.caller?.user)
          },
        },
        send,
      )
      // S3 has this file of the form already; others may follow it.
      if (isStored && files.isForm) (await open()).bytes.resume()
      return upload
    }
  }
}

export type ReceiveFiles = ReturnType<typeof createReceiveFiles>

/** Returns the error of a file that is not the first one of its form. */
function afterStored(error: AppError, uploads: UploadView[]): AppError {
  const { code, message, cause, fields, limit, remaining, retryAfterSeconds } = error
  const ids = uploads.map(({ id }) => id).join(', ')
  return new AppError(code, {
    message: `${message} This is about file ${uploads.length + 1} of the form; those before it are stored: ${ids}.`,
    cause,
    ...(fields && { fields }),
    ...(limit !== undefined && { limit }),
    ...(remaining !== undefined && { remaining }),
    ...(retryAfterSeconds !== undefined && { retryAfterSeconds }),
  })
}

/**
 * Returns the content that identifies a request without reading the file. The boundary is left out, because
 * clients choose a new one each time they send a form.
 */
function contentOf({ method, url, headers, query }: FastifyRequest): unknown {
  const type = headers['content-type']?.replace(/; *boundary=.*$/i, '')
  const fields = [type, headers['content-length'], headers['content-disposition']]
  return method === 'POST' ? ['POST /upload', query, fields] : [method, url, fields]
}
