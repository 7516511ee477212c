import { Readable } from 'node:stream'
import { Dicer } from '@fastify/busboy'
import { AppError } from '@millrace/shared/service/app-error.ts'

/** Limits of the headers of one part. */
const headerLimits = { maxHeaderPairs: 32, maxHeaderSize: 8192 }

/** A part of a form. Its headers have one character for each byte. */
export type FormPart = {
  disposition: string | undefined
  contentType: string | undefined
  /** Not yet read. It must be read to its end before the next part is awaited. */
  bytes: Readable
}

/**
 * Divides a multipart/form-data body (RFC 7578) into its parts, with back-pressure.
 *
 * @param body the request's body. It stays open if the form is invalid, so that a response can be sent
 * @param contentType the request's `Content-Type`, with the boundary
 * @returns `parts`, one after the other, which throw an AppError `invalid_request` if the form is malformed or incomplete;
 *   and `end`, which stops reading: parts that are not read yet fail with its error
 * @throws AppError `invalid_request` if there is no boundary
 */
export function readFormParts(
  body: Readable,
  contentType: string,
): { parts: AsyncIterable<FormPart>; end(error?: Error): void } {
  const boundary = boundaryOf(contentType)
  const parts = new Readable({ objectMode: true, read() {} })
  const unread = new Set<Readable>()
  // Until the caller reads them, an error must not count as unhandled.
  parts.on('error', () => undefined)
  // No event would follow any more.
  if (body.destroyed) {
    parts.destroy(invalidForm(disconnected))
    return { parts, end: () => undefined }
  }
  const config = { boundary, ...headerLimits }
  const dicer = new Dicer(config)
  let isHeaderOpen = false

  const end = (error?: Error) => {
    body.unpipe(dicer)
    dicer.destroy()
    parts.destroy(error)
    for (const part of unread) {
      // Dicer gives an incomplete part an error of its own, after this one. Who reads the part gets this one, when it closes.
      part.removeAllListeners('error').on('error', () => undefined)
      part.destroy(error)
    }
  }
  const malformed = (cause?: unknown) => end(invalidForm('The form is incomplete or malformed.', cause))

  dicer.on('part', (bytes) => {
    if (isHeaderOpen) return malformed()
    isHeaderOpen = true
    unread.add(bytes)
    bytes.on('error', () => undefined)
    bytes.once('close', () => unread.delete(bytes))
    bytes.once('header', (header) => {
      isHeaderOpen = false
      const [disposition, type] = ['content-disposition', 'content-type'].map((name) =>
        firstValue(header, name),
      )
      parts.push({ disposition, contentType: type, bytes } satisfies FormPart)
    })
  })
  dicer.on('error', malformed)
  dicer.on('finish', () => (isHeaderOpen ? malformed() : parts.push(null)))
  body.on('error', end)
  body.on('close', () => {
    if (!body.readableEnded) end(invalidForm(disconnected))
  })
  body.pipe(dicer)
  return { parts, end }
}

const disconnected = 'The connection was closed before the whole form arrived.'

/** The error of a form that cannot be read. */
export function invalidForm(message: string, cause?: unknown): AppError {
  return new AppError('invalid_request', { message, cause })
}

function boundaryOf(contentType: string): string {
  const [, quoted, bare] = /;\s*boundary=(?:"([^"]+)"|([^\s;"]+))/i.exec(contentType) ?? []
  const boundary = quoted ?? bare
  if (boundary === undefined) throw invalidForm('Content-Type must contain a boundary.')
  return boundary
}

function firstValue(header: object, name: string): string | undefined {
  const values: unknown = Reflect.get(header, name)
  return Array.isArray(values) && typeof values[0] === 'string' ? values[0] : undefined
}
