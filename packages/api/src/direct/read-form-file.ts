import type { Readable } from 'node:stream'
import { Busboy, type BusboyFileStream } from '@fastify/busboy'
import { AppError } from '@millrace/shared/service/app-error.ts'

/** Limit of a text field, in bytes: enough for the largest `metadata` as JSON. */
const fieldLimitBytes = 16 * 1024
/** Limit of the number of text fields. */
const fieldLimit = 16

/** A form that was read up to its file. */
export type FormFile = {
  /** The text fields. All of them come before the file. */
  fields: Map<string, string>
  /** Without directories. */
  filename: string
  contentType: string
  /** The bytes of the file, not yet read. */
  file: BusboyFileStream
  /** Resolves once the form was read to its end and is valid; otherwise rejects with an AppError. */
  ended: Promise<void>
  /** Stops reading the form. */
  abandon(): void
}

/**
 * Reads a multipart/form-data body (RFC 7578) up to its only file.
 *
 * @param body the request's body. It stays open if the form is invalid, so that a response can be sent
 * @param contentType the request's `Content-Type`, with the boundary
 * @throws AppError `invalid_request`
 */
export async function readFormFile(body: Readable, contentType: string): Promise<FormFile> {
  const parser = openParser(contentType)
  // No event would follow any more.
  if (body.destroyed) throw invalidForm(disconnected)
  const fields = new Map<string, string>()
  const fileStart = Promise.withResolvers<Omit<FormFile, 'ended' | 'abandon'>>()
  const end = Promise.withResolvers<void>()
  // Until the caller awaits it, a rejection must not count as unhandled.
  end.promise.catch(() => undefined)
  let file: BusboyFileStream | undefined

  const abandon = () => {
    body.unpipe(parser)
    parser.destroy()
    file?.destroy()
  }
  const fail = (error: Error) => {
    fileStart.reject(error)
    end.reject(error)
    body.unpipe(parser)
    parser.destroy()
    file?.destroy(error)
  }

  parser.on('field', (name: string | undefined, value, _nameTruncated, valueTruncated) => {
    if (!name) fail(invalidForm('A form field has no name.'))
    else if (file) fail(invalidForm(`Form field "${name}" must come before the file.`))
    else if (fields.has(name)) fail(invalidForm(`Form field "${name}" is sent more than once.`))
    else if (valueTruncated) fail(invalidForm(`Form field "${name}" has more than ${fieldLimitBytes} bytes.`))
    else fields.set(name, value)
  })
  parser.on('file', (_name, stream, filename: string | undefined, _encoding, type) => {
    file = stream
    // The reader of the file handles its errors. Without this listener, an earlier error would end the
    // process.
    stream.on('error', () => undefined)
    fileStart.resolve({ fields, filename: filename ?? '', contentType: type, file: stream })
  })
  parser.on('filesLimit', () => fail(invalidForm('The form must contain only one file.')))
  parser.on('fieldsLimit', () => fail(invalidForm(`The form must contain at most ${fieldLimit} fields.`)))
  parser.on('error', (error) => fail(invalidForm('The form is incomplete or malformed.', error)))
  parser.on('finish', () => {
    if (!file) fail(invalidForm('The form must contain a file.'))
    end.resolve()
  })
  body.on('error', fail)
  // Without an error, neither the form nor its file would end.
  body.on('close', () => {
    if (!body.readableEnded) fail(invalidForm(disconnected))
  })
  body.pipe(parser)
  return { ...(await fileStart.promise), ended: end.promise, abandon }
}

const disconnected = 'The connection was closed before the whole form arrived.'

/** @throws AppError `invalid_request` if the boundary is missing */
function openParser(contentType: string) {
  try {
    return new Busboy({
      headers: { 'content-type': contentType },
      limits: { fieldSize: fieldLimitBytes, fields: fieldLimit, files: 1, headerPairs: 32, headerSize: 8192 },
    })
  } catch (error) {
    throw invalidForm('Content-Type must contain a boundary.', error)
  }
}

function invalidForm(message: string, cause?: unknown): AppError {
  return new AppError('invalid_request', { message, cause })
}
