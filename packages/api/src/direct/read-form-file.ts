import type { Readable } from 'node:stream'
import { Busboy, type BusboyFileStream } from '@fastify/busboy'
import { AppError } from '@millrace/shared/service/app-error.ts'

/** The longest text field, bytes: `metadata` at its largest, JSON and all. */
const fieldLimitBytes = 16 * 1024
const fieldLimit = 16

/** A form up to its file; the file streams. */
export type FormFile = {
  /** The text fields, all of which come before the file. */
  fields: Map<string, string>
  /** Without directories. */
  filename: string
  contentType: string
  file: BusboyFileStream
  /** Settles once the form has come to its proper end; rejects with an AppError where it does not. */
  ended: Promise<void>
  /** Stops reading, for a form that is refused. */
  abandon(): void
}

/**
 * Reads a multipart/form-data body (RFC 7578) up to its only file.
 *
 * @param body the request's body; it stays open where the form is refused, so that an answer can be sent
 * @param contentType the request's, with the boundary
 * @throws AppError `invalid_request`
 */
export async function readFormFile(body: Readable, contentType: string): Promise<FormFile> {
  const parser = openParser(contentType)
  const fields = new Map<string, string>()
  const first = Promise.withResolvers<Omit<FormFile, 'ended' | 'abandon'>>()
  const end = Promise.withResolvers<void>()
  // Until the caller listens, a failure must not count as unhandled.
  end.promise.catch(() => undefined)
  let file: BusboyFileStream | undefined

  const abandon = () => {
    body.unpipe(parser)
    parser.destroy()
    file?.destroy()
  }
  const fail = (error: Error) => {
    first.reject(error)
    end.reject(error)
    body.unpipe(parser)
    parser.destroy()
    file?.destroy(error)
  }

  parser.on('field', (name: string | undefined, value, _nameTruncated, valueTruncated) => {
    if (!name) fail(malformed('The form has a field without a name.'))
    else if (file) fail(malformed(`The field "${name}" must come before the file.`))
    else if (fields.has(name)) fail(malformed(`The form has several fields named "${name}".`))
    else if (valueTruncated) fail(malformed(`The field "${name}" is longer than ${fieldLimitBytes} bytes.`))
    else fields.set(name, value)
  })
  parser.on('file', (_name, stream, filename: string | undefined, _encoding, type) => {
    file = stream
    // The reader of the file sees its error; this keeps one before that from ending the process.
    stream.on('error', () => undefined)
    first.resolve({ fields, filename: filename ?? '', contentType: type, file: stream })
  })
  parser.on('filesLimit', () => fail(malformed('The form has more than one file.')))
  parser.on('fieldsLimit', () => fail(malformed(`The form has more than ${fieldLimit} fields.`)))
  parser.on('error', (error) => fail(malformed('The form is cut off or otherwise not well-formed.', error)))
  parser.on('finish', () => {
    if (!file) fail(malformed('The form has no file.'))
    end.resolve()
  })
  body.on('error', fail)
  body.pipe(parser)
  return { ...(await first.promise), ended: end.promise, abandon }
}

/** @throws AppError `invalid_request` when the boundary is missing */
function openParser(contentType: string) {
  try {
    return new Busboy({
      headers: { 'content-type': contentType },
      limits: { fieldSize: fieldLimitBytes, fields: fieldLimit, files: 1, headerPairs: 32, headerSize: 8192 },
    })
  } catch (error) {
    throw malformed('The content type names no boundary.', error)
  }
}

function malformed(message: string, cause?: unknown): AppError {
  return new AppError('invalid_request', { message, cause })
}
