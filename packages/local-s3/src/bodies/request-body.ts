import { createHash } from 'node:crypto'
import { headerNotImplemented } from '../protocol/request-headers.ts'
import { S3Error } from '../protocol/s3-error.ts'
import type { S3Exchange } from '../protocol/s3-exchange.ts'
import type { VerifiedSignature } from '../signing/signature-v4.ts'
import { decodeAwsChunked } from './aws-chunked.ts'
import {
  type ChecksumAlgorithm,
  checksumAlgorithm,
  createChecksum,
  isBase64Of,
  isChecksum,
  readChecksumHeader,
} from './checksums.ts'

/** S3's maximum size of a single PUT: 5 GiB. */
export const maxPutBytes = 5 * 1024 ** 3
/** Maximum size of an XML body: CompleteMultipartUpload with 10,000 parts and their checksums fits (bytes). */
const maxXmlBytes = 8 * 1024 * 1024

/** The digests of a body, known after its last byte. */
export type BodyDigests = {
  /** Hex. */
  md5: string
  /** Base64. */
  checksum: { algorithm: ChecksumAlgorithm; value: string } | undefined
}

/**
 * Opens a request's body. While it is read, it is decoded and verified against the request's length, hashes and
 * checksums.
 *
 * @param options.timeoutMs longest time without bytes from the client, in ms
 * @param options.algorithm a checksum to compute even if the client sends none
 * @throws S3Error MissingContentLength, NotImplemented, EntityTooLarge, InvalidDigest, InvalidRequest, InvalidArgument
 */
export function openRequestBody(
  exchange: S3Exchange,
  signature: VerifiedSignature,
  options: { timeoutMs: number; algorithm?: ChecksumAlgorithm | undefined },
) {
  const { headers } = exchange
  const chunked = signature.payload.startsWith('STREAMING-')
  const isHash = /^[0-9a-f]{64}$/.test(signature.payload)
  const streaming = [
    '-AWS4-HMAC-SHA256-PAYLOAD',
    '-AWS4-HMAC-SHA256-PAYLOAD-TRAILER',
    '-UNSIGNED-PAYLOAD-TRAILER',
  ]
  if (
    !isHash &&
    signature.payload !== 'UNSIGNED-PAYLOAD' &&
    !streaming.some((suffix) => signature.payload === `STREAMING${suffix}`)
  ) {
    throw new S3Error(
      'InvalidArgument',
      'x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER, STREAMING-AWS4-HMAC-SHA256-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER or a valid sha256 value.',
      { ArgumentName: 'x-amz-content-sha256', ArgumentValue: signature.payload },
    )
  }
  if (headers['transfer-encoding'] !== undefined && !chunked) {
    throw headerNotImplemented('Transfer-Encoding')
  }
  const length = chunked ? headers['x-amz-decoded-content-length'] : headers['content-length']
  if (length === undefined) throw new S3Error('MissingContentLength')
  if (!/^\d{1,15}$/.test(length)) throw new S3Error('InvalidArgument', 'The content length is not a number.')
  const size = Number(length)
  if (size > maxPutBytes) {
    throw new S3Error('EntityTooLarge', undefined, {
      ProposedSize: length,
      MaxSizeAllowed: String(maxPutBytes),
    })
  }

  const contentMd5 = headers['content-md5']
  if (contentMd5 !== undefined && !isBase64Of(16, contentMd5)) {
    throw new S3Error('InvalidDigest', undefined, { 'Content-MD5': contentMd5 })
  }
  const checksumHeader = readChecksumHeader(headers)
  const trailerAlgorithm =
    chunked && signature.payload.endsWith('-TRAILER')
      ? readTrailerAlgorithm(headers['x-amz-trailer'])
      : undefined
  if (checksumHeader !== undefined && trailerAlgorithm !== undefined) {
    throw new S3Error(
      'InvalidRequest',
      'Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.',
    )
  }
  const declaredAlgorithm = headers['x-amz-sdk-checksum-algorithm']
  const sentAlgorithm = checksumHeader?.algorithm ?? trailerAlgorithm
  if (declaredAlgorithm !== undefined && sentAlgorithm === undefined) {
    throw new S3Error(
      'InvalidRequest',
      'x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer headers were found.',
    )
  }
  if (declaredAlgorithm !== undefined && checksumAlgorithm(declaredAlgorithm) !== sentAlgorithm) {
    throw new S3Error('InvalidRequest', `Value for x-amz-sdk-checksum-algorithm header is invalid.`)
  }
  const algorithm = sentAlgorithm ?? options.algorithm

  let digests: BodyDigests | undefined
  let checksumInTrailer: string | undefined

  async function* readVerified(): AsyncGenerator<Buffer> {
    const md5 = createHash('md5')
    const sha256 = isHash ? createHash('sha256') : undefined
    const checksum = algorithm === undefined ? undefined : createChecksum(algorithm)
    const raw = readRawBody(exchange, options.timeoutMs)
    const decoded = chunked
      ? decodeAwsChunked(raw, signature, (name, value) => {
          if (trailerAlgorithm === undefined || name !== `x-amz-checksum-${trailerAlgorithm}`)
            throw new S3Error('MalformedTrailerError')
          checksumInTrailer = value
        })
      : raw
    let received = 0
    for await (const chunk of decoded) {
      received += chunk.length
      if (received > size) throw new S3Error('IncompleteBody')
      md5.update(chunk)
      sha256?.update(chunk)
      checksum?.update(chunk)
      yield chunk
    }
    if (received !== size) throw new S3Error('IncompleteBody')
    if (sha256 !== undefined) {
      const computed = sha256.digest('hex')
      if (computed !== signature.payload) {
        throw new S3Error('XAmzContentSHA256Mismatch', undefined, {
          ClientComputedContentSHA256: signature.payload,
          S3ComputedContentSHA256: computed,
        })
      }
    }
    const md5Digest = md5.digest()
    const computedMd5 = md5Digest.toString('base64')
    if (contentMd5 !== undefined && computedMd5 !== contentMd5) {
      throw new S3Error('BadDigest', 'The Content-MD5 you specified did not match what we received.', {
        ExpectedDigest: contentMd5,
        CalculatedDigest: computedMd5,
      })
    }
    let verifiedChecksum: BodyDigests['checksum']
    if (algorithm !== undefined && checksum !== undefined) {
      const value = (await checksum.digest()).toString('base64')
      const expected = checksumHeader?.value ?? checksumInTrailer
      if (
        trailerAlgorithm !== undefined &&
        (expected === undefined || !isChecksum(trailerAlgorithm, expected))
      ) {
        throw new S3Error('MalformedTrailerError')
      }
      if (expected !== undefined && expected !== value) {
        throw new S3Error(
          'BadDigest',
          `The ${algorithm.toUpperCase()} you specified did not match the calculated checksum.`,
        )
      }
      verifiedChecksum = { algorithm, value }
    }
    digests = { md5: md5Digest.toString('hex'), checksum: verifiedChecksum }
  }

  return {
    /** The declared size in bytes. */
    size,
    /** The algorithm of the checksum that the client sent; `undefined` if it sent none. */
    sentAlgorithm,
    /**
     * Requires a Content-MD5 or a checksum.
     * @throws S3Error InvalidRequest
     */
    requireIntegrity() {
      if (contentMd5 !== undefined || sentAlgorithm !== undefined) return
      throw new S3Error('InvalidRequest', 'Missing required header for this request: Content-MD5')
    },
    /** Yields the decoded bytes. They are valid only if the iteration ends without an error. Iterate once. */
    chunks: readVerified,
    /** Returns the digests. Call it after the iteration. */
    digests(): BodyDigests {
      if (digests === undefined) throw new Error('the body was not read completely')
      return digests
    },
    /**
     * Reads the whole body as one buffer, for XML.
     * @throws S3Error MaxMessageLengthExceeded, and the errors of `chunks`
     */
    async xml(): Promise<Buffer> {
      if (size > maxXmlBytes)
        throw new S3Error('MaxMessageLengthExceeded', undefined, {
          MaxMessageLengthBytes: String(maxXmlBytes),
        })
      const chunks: Buffer[] = []
      for await (const chunk of readVerified()) chunks.push(chunk)
      return Buffer.concat(chunks)
    },
  }
}

/** Computes digests of a stream while it is read, without verifying them. */
export function digestStream(source: AsyncIterable<Buffer>, algorithm: ChecksumAlgorithm | undefined) {
  const md5 = createHash('md5')
  const checksum = algorithm === undefined ? undefined : createChecksum(algorithm)
  async function* chunks(): AsyncGenerator<Buffer> {
    for await (const chunk of source) {
      md5.update(chunk)
      checksum?.update(chunk)
      yield chunk
    }
  }
  return {
    chunks: chunks(),
    /** Returns the digests. Call it after the iteration. */
    async digests(): Promise<BodyDigests> {
      const value = (await checksum?.digest())?.toString('base64')
      return {
        md5: md5.digest('hex'),
        checksum: algorithm === undefined || value === undefined ? undefined : { algorithm, value },
      }
    },
  }
}

function readTrailerAlgorithm(header: string | undefined): ChecksumAlgorithm | undefined {
  if (header === undefined) return undefined
  const name = header.trim().toLowerCase()
  if (!name.startsWith('x-amz-checksum-')) {
    throw new S3Error('InvalidRequest', 'The value specified in the x-amz-trailer header is not supported')
  }
  return checksumAlgorithm(name.slice('x-amz-checksum-'.length))
}

/**
 * Reads the request's body as it was sent. After an early stop or a timeout the connection can still carry the
 * response. The request's own iterator is not used because it destroys the connection after any error.
 *
 * @param timeoutMs longest time without bytes, in ms
 * @throws S3Error RequestTimeout; an Error if the client disconnects
 */
export async function* readRawBody(exchange: S3Exchange, timeoutMs: number): AsyncGenerator<Buffer> {
  const { req, socket } = exchange
  let event = Promise.withResolvers<void>()
  const onEvent = () => event.resolve()
  const onError = (error: Error) => event.reject(error)
  const onClose = () => event.reject(new Error('the client disconnected'))
  const onTimeout = () => event.reject(new S3Error('RequestTimeout'))
  // An error between two waits is thrown by the next wait; until then it must not count as unhandled.
  event.promise.catch(() => undefined)
  req.on('readable', onEvent).on('end', onEvent).on('error', onError).on('close', onClose)
  // The listener is on the request: with a listener on the socket only, Node closes the connection at the timeout.
  req.on('timeout', onTimeout)
  socket.setTimeout(timeoutMs)
  exchange.acceptBody()
  try {
    for (;;) {
      const chunk: Buffer | null = req.read()
      if (chunk !== null) {
        yield chunk
        continue
      }
      if (req.readableEnded) return
      // The body may have ended before the listeners were added. Then no event follows.
      if (req.destroyed && req.complete) return
      if (req.destroyed) throw new Error('the client disconnected')
      await event.promise
      event = Promise.withResolvers<void>()
      event.promise.catch(() => undefined)
    }
  } finally {
    req.off('readable', onEvent).off('end', onEvent).off('error', onError).off('close', onClose)
    socket.setTimeout(0)
    req.off('timeout', onTimeout)
  }
}
