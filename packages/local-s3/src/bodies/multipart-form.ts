import { pipeline } from 'node:stream/promises'
import { Busboy, type BusboyFileStream } from '@fastify/busboy'
import { S3Error } from '../protocol/s3-error.ts'
import type { S3Exchange } from '../protocol/s3-exchange.ts'
import { readRawBody } from './request-body.ts'

/** S3's limit of what stands before the file (bytes). */
const maxPreDataBytes = 20 * 1024
const maxFields = 200

/** A form up to its file; the file streams. */
export type MultipartForm = {
  /** The fields before the file, lower-case names. S3 ignores what follows the file. */
  fields: Record<string, string>
  /** What the browser calls the file, without directories. */
  filename: string
  file: AsyncIterable<Buffer>
  /** Settles once the form has come to its proper end; rejects with S3Error MalformedPOSTRequest otherwise. */
  ended: Promise<void>
  /** Stops parsing, for a form that is refused. */
  abort(): void
}

/**
 * Reads a multipart/form-data body (RFC 7578) up to its `file` field.
 *
 * @param timeoutMs longest silence of the client in ms
 * @throws S3Error PreconditionFailed, MissingContentLength, MalformedPOSTRequest, MaxPostPreDataLengthExceeded, InvalidArgument
 */
export async function readForm(exchange: S3Exchange, timeoutMs: number): Promise<MultipartForm> {
  const contentType = exchange.headers['content-type'] ?? ''
  if (!/^multipart\/form-data\s*;/i.test(contentType)) {
    throw new S3Error('PreconditionFailed', undefined, {
      Condition: 'Bucket POST must be of the enclosure-type multipart/form-data',
    })
  }
  if (exchange.headers['content-length'] === undefined) throw new S3Error('MissingContentLength')
  const parser = openParser(contentType)

  const fields: Record<string, string> = {}
  let preDataBytes = 0
  let severalFiles = false
  parser.on('filesLimit', () => {
    severalFiles = true
  })
  const { promise, resolve, reject } = Promise.withResolvers<{ file: BusboyFileStream; filename: string }>()
  parser.on('field', (name: string | undefined, value, _nameTruncated, valueTruncated) => {
    preDataBytes += (name?.length ?? 0) + Buffer.byteLength(value)
    const field = name?.toLowerCase()
    if (valueTruncated || preDataBytes > maxPreDataBytes) reject(new S3Error('MaxPostPreDataLengthExceeded'))
    else if (!field) reject(new S3Error('MalformedPOSTRequest'))
    else if (Object.hasOwn(fields, field)) {
      reject(
        new S3Error('InvalidArgument', `The form has several fields named '${field}'.`, {
          ArgumentName: field,
        }),
      )
    } else fields[field] = value
  })
  parser.on('fieldsLimit', () => reject(new S3Error('MaxPostPreDataLengthExceeded')))
  parser.on('partsLimit', () => reject(new S3Error('MaxPostPreDataLengthExceeded')))
  parser.on('file', (_name, file, filename: string | undefined) => {
    // The reader of the file sees its error; this listener keeps an error before that from ending the process.
    file.on('error', () => undefined)
    resolve({ file, filename: filename ?? '' })
  })

  /** What the parser throws is the form's fault, unless the client went away. */
  const refusal = (error: unknown) =>
    error instanceof S3Error || exchange.socket.destroyed ? error : new S3Error('MalformedPOSTRequest')
  async function* bytes(file: BusboyFileStream): AsyncGenerator<Buffer> {
    try {
      yield* file
    } catch (error) {
      throw refusal(error)
    }
  }
  const parsing = pipeline(readRawBody(exchange, timeoutMs), parser).catch((error: unknown) => {
    throw refusal(error)
  })
  const onlyOneFile = 'POST requires exactly one file upload per request.'
  const ended = parsing.then(() => {
    if (severalFiles) throw new S3Error('InvalidArgument', onlyOneFile, { ArgumentName: 'file' })
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

/** @throws S3Error MalformedPOSTRequest when the boundary is missing */
function openParser(contentType: string) {
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
