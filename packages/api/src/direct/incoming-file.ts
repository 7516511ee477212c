import type { Readable } from 'node:stream'
import { AppError } from '@millrace/shared/service/app-error.ts'
import { intentFields } from '@millrace/shared/uploads/intent-fields.ts'
import type { UploadIntent } from '@millrace/shared/uploads/upload.ts'
import type { FastifyRequest } from 'fastify'
import Type, { type Static } from 'typebox'
import { readUnsizedAnnouncement } from '../announcing/announcement.ts'
import { traceOf } from '../requests/traceparent.ts'
import { readFormFields } from './form-fields.ts'
import { filenameOfDisposition } from './part-name.ts'
import { readForm } from './read-form.ts'

/** Name of a file that is sent by PUT to `/upload`, where nothing names it. */
const unnamed = 'file'

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
  /** Resolves once the file is known to be whole; otherwise rejects. */
  confirm(): Promise<void>
  /** Stops reading. */
  abandon(): void
}

/** The files of a request, which come one after the other. */
export type IncomingFiles = {
  /** Whether the body is a form, which may have several files. */
  isForm: boolean
  /**
   * Reads the request up to the first byte of the next file, once the one before was read.
   * @returns undefined if there is none
   * @throws AppError `invalid_request`
   */
  next(): Promise<IncomingFile | undefined>
  /** Stops reading. */
  abandon(): void
}

/**
 * Opens a request whose body is a file, or a form with files.
 *
 * @param pathName the last part of the path, if it names the file
 * @throws AppError `invalid_request`, `unsupported_media_type`
 */
export function openIncomingFiles(
  request: FastifyRequest,
  query: Static<typeof FileQuery>,
  pathName?: string,
): IncomingFiles {
  const { headers } = request
  const encoding = headers['content-encoding']
  if (encoding && encoding !== 'identity') {
    throw new AppError('unsupported_media_type', {
      message: 'Content-Encoding is not supported: send the file uncompressed.',
    })
  }
  // RFC 9110, 14.4. The rest of a file would become a file of its own.
  if (headers['content-range'] !== undefined) {
    throw new AppError('invalid_request', {
      message: 'Content-Range is not supported: send the whole file, or resume it by tus or `POST /uploads`.',
    })
  }
  return isForm(headers['content-type'])
    ? openForm(request, headers['content-type'])
    : openRaw(request, query, pathName)
}

function isForm(contentType: string | undefined): contentType is string {
  return contentType !== undefined && /^multipart\/form-data\b/i.test(contentType)
}

function openRaw(
  request: FastifyRequest,
  { filename, ...query }: Static<typeof FileQuery>,
  pathName: string | undefined,
): IncomingFiles {
  const { headers, raw } = request
  const isChunked = headers['transfer-encoding'] !== undefined
  const length = headers['content-length']
  let isRead = false
  return {
    isForm: false,
    async next() {
      if (isRead) return undefined
      isRead = true
      if (!isChunked && length === undefined) {
        throw new AppError('invalid_request', {
          message: 'The request has no body. An empty file has Content-Length: 0.',
        })
      }
      return {
        announced: {
          ...readAnnounced({
            ...query,
            contentType: headers['content-type'],
            filename:
              filename ??
              filenameOfDisposition(headers['content-disposition']) ??
              pathName ??
              (request.method === 'PUT' ? unnamed : undefined),
          }),
          ...traceOf(request),
        },
        bytes: raw,
        ...(!isChunked && { size: Number(length) }),
        confirm: async () => undefined,
        abandon: () => raw.unpipe(),
      }
    },
    abandon: () => raw.unpipe(),
  }
}

function openForm(request: FastifyRequest, contentType: string): IncomingFiles {
  const form = readForm(request.raw, contentType)
  const length = request.headers['content-length']
  return {
    isForm: true,
    async next() {
      const file = await form.nextFile()
      if (!file) return undefined
      const { announced, extra } = readFormFields(file)
      const { filename, contentType, bytes, confirm } = file
      return {
        announced: { ...readAnnounced({ ...announced, filename, contentType }, extra), ...traceOf(request) },
        bytes,
        ...(length !== undefined && { sizeBound: Number(length) }),
        confirm,
        abandon: form.abandon,
      }
    },
    abandon: form.abandon,
  }
}

/**
 * Reads the announcement in a request's text fields. Fields that are undefined count as absent.
 * @param extra metadata besides that of the field `metadata`, which wins
 */
function readAnnounced(
  { metadata, ...fields }: Record<string, string | undefined>,
  extra: Record<string, string> = {},
): Omit<UploadIntent, 'size'> {
  const presentFields = Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined))
  const intent = readUnsizedAnnouncement({
    ...presentFields,
    ...(metadata !== undefined && { metadata: parseMetadata(metadata) }),
  })
  const all = { ...extra, ...intent.metadata }
  return { ...intent, ...(Object.keys(all).length > 0 && { metadata: all }) }
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
