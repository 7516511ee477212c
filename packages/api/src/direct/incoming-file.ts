import type { Readable } from 'node:stream'
import { AppError } from '@millrace/shared/service/app-error.ts'
import { intentFields } from '@millrace/shared/uploads/intent-fields.ts'
import type { UploadIntent } from '@millrace/shared/uploads/upload.ts'
import { parse } from 'content-disposition'
import type { FastifyRequest } from 'fastify'
import Type, { type Static } from 'typebox'
import { traceOf } from '../http/traceparent.ts'
import { readUnsizedAnnouncement } from '../uploads/announcement.ts'
import { readFormFile } from './read-form-file.ts'

/** The query of a file that is sent as a raw body. */
export const FileQuery = Type.Object(
  {
    filename: Type.Optional(intentFields.filename),
    preset: intentFields.preset,
    sha256: intentFields.sha256,
    metadata: Type.Optional(
      Type.String({
        maxLength: 16_384,
        description: 'JSON object with string values, as in `POST /uploads`',
      }),
    ),
  },
  { additionalProperties: false },
)

/** A file that is the body of a request, or is in a form in the body. */
export type IncomingFile = {
  announced: Omit<UploadIntent, 'size'>
  bytes: Readable
  /** Bytes, if the request declares them. */
  size?: number
  /** Upper limit of the size in bytes, if the request declares one. */
  sizeBound?: number
  /** Resolves once the rest of the body was read and is valid; otherwise rejects. */
  confirm(): Promise<void>
  /** Stops reading. */
  abandon(): void
}

/**
 * Reads a request up to the first byte of its file. The body is either the file, or a form with one file.
 *
 * @throws AppError `invalid_request`, `unsupported_media_type`
 */
export async function readIncomingFile(
  request: FastifyRequest,
  query: Static<typeof FileQuery>,
): Promise<IncomingFile> {
  const encoding = request.headers['content-encoding']
  if (encoding && encoding !== 'identity') {
    throw new AppError('unsupported_media_type', {
      message: 'Content-Encoding is not supported: send the file uncompressed.',
    })
  }
  const contentType = request.headers['content-type'] ?? 'application/octet-stream'
  return /^multipart\/form-data\b/i.test(contentType)
    ? readForm(request, contentType)
    : readRaw(request, contentType, query)
}

function readRaw(
  request: FastifyRequest,
  contentType: string,
  { filename, ...query }: Static<typeof FileQuery>,
): IncomingFile {
  const chunked = request.headers['transfer-encoding'] !== undefined
  return {
    announced: {
      ...readAnnounced({ ...query, contentType, filename: filename ?? filenameOfDisposition(request) }),
      ...traceOf(request),
    },
    bytes: request.raw,
    ...(!chunked && { size: Number(request.headers['content-length'] ?? 0) }),
    confirm: async () => undefined,
    abandon: () => request.raw.unpipe(),
  }
}

async function readForm(request: FastifyRequest, contentType: string): Promise<IncomingFile> {
  const form = await readFormFile(request.raw, contentType)
  try {
    const fields = Object.fromEntries(form.fields)
    const announced = readAnnounced({ ...fields, filename: form.filename, contentType: form.contentType })
    const length = request.headers['content-length']
    return {
      announced: { ...announced, ...traceOf(request) },
      bytes: form.file,
      ...(length !== undefined && { sizeBound: Number(length) }),
      confirm: () => form.ended,
      abandon: form.abandon,
    }
  } catch (error) {
    form.abandon()
    throw error
  }
}

/** Reads the announcement in a request's text fields. Fields that are undefined count as absent. */
function readAnnounced({
  metadata,
  ...fields
}: Record<string, string | undefined>): Omit<UploadIntent, 'size'> {
  const presentFields = Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined))
  return readUnsizedAnnouncement({
    ...presentFields,
    ...(metadata !== undefined && { metadata: parseMetadata(metadata) }),
  })
}

function parseMetadata(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new AppError('invalid_request', {
      message: 'metadata is not JSON.',
      fields: [{ field: 'metadata', message: 'must be a JSON object' }],
      cause: error,
    })
  }
}

/**
 * Returns the filename in `Content-Disposition: attachment; filename*=UTF-8''…` (RFC 6266), if there is one.
 */
function filenameOfDisposition(request: FastifyRequest): string | undefined {
  const header = request.headers['content-disposition']
  return header === undefined ? undefined : parse(header).parameters['filename']
}
