import { pipeline } from 'node:stream/promises'
import { Busboy, type BusboyFileStream } from '@fastify/busboy'
import { S3Error } from '../protocol/s3-error.ts'
import type { S3Exchange } from '../protocol/s3-exchange.ts'
import { readRawBody } from './request-body.ts'

/** S3's limit on the size of all fields before the file (bytes). */
const maxPreDataBytes = 20 * 1024
const maxFields = 200

/** A form, parsed up to its file. The file is a stream. */
export type MultipartForm = {
  /** The fields before the file, with lower-case names. S3 ignores fields after the file. */
  fields: Record<string, string>
  /** The file name that the browser sent, without directories; `undefined` if the file part has no such parameter. */
  filename: string | undefined
  file: AsyncIterable<Buffer>
  /** Resolves at the end of the form. Rejects with S3Error MalformedPOSTRequest if the form is not complete. */
  ended: Promise<void>
  /** Stops parsing. Call it for a form that is rejected. */
  abort(): void
}

/**
 * Reads a multipart/form-data body (RFC 7578) up to its `file` field.
 *
 * @param timeoutMs longest time without bytes from the client, in ms
 * @throws S3Error PreconditionFailed, MissingContentLength, MalformedPOSTRequest, MaxPostPreDataLengthExceeded,
 * InvalidArgument
 */
export async function readForm(exchange: S3Exchange, timeoutMs: number): Promise<MultipartForm> {
  const contentType = exchange.headers['content-type'] ?? ''
  if (!/^multipart\/form-data\s*;/i.test(contentType)) {
    throw new S3Error('PreconditionFailed', undefined, {
      Condition: 'Bucket POST must be of the enclosure-type multipart/form-data',
    })
  }
  if (exchange.headers['content-length'] === undefined) throw new S3Error('MissingContentLength')
  const parser = createParser(contentType)

  const fields: Record<string, string> = {}
  let preDataBytes = 0
  let hasSeveralFiles = false
  parser.on('filesLimit', () => {
    hasSeveralFiles = true
  })
  const { promise, resolve, reject } = Promise.withResolvers<
    Pick<MultipartForm, 'filename'> & { file: BusboyFileStream }
  >()
  parser.on('field', (name: string | undefined, value, _nameTruncated, valueTruncated) => {
    preDataBytes += (name?.length ?? 0) + Buffer.byteLength(value)
    const field = name?.toLowerCase()
    if (valueTruncated || preDataBytes > maxPreDataBytes) reject(tooLong())
    else if (!field) reject(new S3Error('MalformedPOSTRequest'))
    else if (Object.hasOwn(fields, field)) {
      reject(
        new S3Error('InvalidArgument', `The form has several fields named '${field}'.`, {
          ArgumentName: field,
        }),
      )
    } else fields[field] = value
  })
  parser.on('fieldsLimit', () => reject(tooLong()))
  parser.on('partsLimit', () => reject(tooLong()))
  parser.on('file', (_name, file, filename: string | undefined) => {
    // The reader of the file handles its error. This listener handles an error that comes before the file is read;
    // without it the process would exit.
    file.on('error', () => undefined)
    resolve({ file, filename })
  })

  /** The parser's errors mean a malformed form, unless the client has disconnected. */
  const toFormError = (error: unknown) =>
    error instanceof S3Error || exchange.socket.destroyed ? error : new S3Error('MalformedPOSTRequest')
  async function* bytes(file: BusboyFileStream): AsyncGenerator<Buffer> {
    try {
      yield* file
    } catch (error) {
      throw toFormError(error)
    }
  }
  const parsing = pipeline(readRawBody(exchange, timeoutMs), parser).catch((error: unknown) => {
    throw toFormError(error)
  })
  const onlyOneFile = 'POST requires exactly one file upload per request.'
  const ended = parsing.then(() => {
    if (hasSeveralFiles) throw new S3Error('InvalidArgument', onlyOneFile, { ArgumentName: 'file' })
  })
  ended.then(
    () => reject(new S3Error('InvalidArgument', onlyOneFile, { ArgumentName: 'file', ArgumentValue: '0' })),
    reject,
  )
  try {
    const { file, filename } = await promise
    parsing.catch((error: Error) => file.destroy(error))
    return { fields, filename, file: bytes(file), ended, abort: () => parser.destroy() }
  } catch (error) {
    parser.destroy()
    throw error
  }
}

function tooLong(): S3Error {
  return new S3Error('MaxPostPreDataLengthExceeded', undefined, {
    MaxPostPreDataLengthBytes: String(maxPreDataBytes),
  })
}

/** @throws S3Error MalformedPOSTRequest if the boundary is missing */
function createParser(contentType: string) {
  try {
    return new Busboy({
      headers: { 'content-type': contentType },
      isPartAFile: (name) => name?.toLowerCase() === 'file',
      limits: { fieldSize: maxPreDataBytes, fields: maxFields, files: 1, headerPairs: 32, headerSize: 8192 },
    })
  } catch {
    throw new S3Error('MalformedPOSTRequest')
  }
}
