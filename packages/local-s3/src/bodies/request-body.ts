import { createHash } from 'node:crypto'
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

/** Largest single PUT, 5 GiB. */
export const maxPutBytes = 5 * 1024 ** 3
/** Room for 10,000 parts with checksums in CompleteMultipartUpload (bytes). */
const maxXmlBytes = 8 * 1024 * 1024

/** What a body turned out to be; set once its iteration ended. */
export type BodyDigests = {
  md5: string
  checksum: { algorithm: ChecksumAlgorithm; value: string } | undefined
}

/**
 * The body of one request, decoded and held against everything the request says about it.
 *
 * @param options.timeoutMs longest silence of the client while its body is awaited, in ms
 * @param options.algorithm a checksum to compute even if the client states none
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
    !streaming.some((form) => signature.payload === `STREAMING${form}`)
  ) {
    throw new S3Error(
      'InvalidArgument',
      'x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER, STREAMING-AWS4-HMAC-SHA256-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER or a valid sha256 value.',
      { ArgumentName: 'x-amz-content-sha256', ArgumentValue: signature.payload },
    )
  }
  if (headers['transfer-encoding'] !== undefined && !chunked) {
    throw new S3Error('NotImplemented', undefined, { Header: 'Transfer-Encoding' })
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
  const stated = readChecksumHeader(headers)
  const trailer =
    chunked && signature.payload.endsWith('-TRAILER') ? announcedTrailer(headers['x-amz-trailer']) : undefined
  if (stated !== undefined && trailer !== undefined) {
    throw new S3Error(
      'InvalidRequest',
      'Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.',
    )
  }
  const declared = headers['x-amz-sdk-checksum-algorithm']
  const algorithm = stated?.algorithm ?? trailer ?? options.algorithm
  if (declared !== undefined && algorithm !== undefined && checksumAlgorithm(declared) !== algorithm) {
    throw new S3Error('InvalidRequest', `Value for x-amz-sdk-checksum-algorithm header is invalid.`)
  }

  let digests: BodyDigests | undefined
  let statedInTrailer: string | undefined

  async function* verified(): AsyncGenerator<Buffer> {
    const md5 = createHash('md5')
    const sha256 = isHash ? createHash('sha256') : undefined
    const checksum = algorithm === undefined ? undefined : createChecksum(algorithm)
    const raw = readRawBody(exchange, options.timeoutMs)
    const decoded = chunked
      ? decodeAwsChunked(raw, signature, (name, value) => {
          if (trailer === undefined || name !== `x-amz-checksum-${trailer}`)
            throw new S3Error('MalformedTrailerError')
          statedInTrailer = value
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
    let found: BodyDigests['checksum']
    if (algorithm !== undefined && checksum !== undefined) {
      const value = (await checksum.digest()).toString('base64')
      const expected = stated?.value ?? statedInTrailer
      if (trailer !== undefined && (expected === undefined || !isChecksum(trailer, expected))) {
        throw new S3Error('MalformedTrailerError')
      }
      if (expected !== undefined && expected !== value) {
        throw new S3Error(
          'BadDigest',
          `The ${algorithm.toUpperCase()} you specified did not match the calculated checksum.`,
        )
      }
      found = { algorithm, value }
    }
    digests = { md5: md5Digest.toString('hex'), checksum: found }
  }

  return {
    /** Bytes, as the request declares them. */
    size,
    /** The algorithm of the checksum that comes with the body. */
    algorithm,
    /**
     * Requires a Content-MD5 or a checksum.
     * @throws S3Error InvalidRequest
     */
    requireIntegrity() {
      if (contentMd5 !== undefined || stated !== undefined || trailer !== undefined) return
      throw new S3Error('InvalidRequest', 'Missing required header for this request: Content-MD5')
    },
    /** The decoded bytes; to be kept only if the iteration ends without an error. Iterate once. */
    chunks: verified,
    /** After the iteration. */
    digests(): BodyDigests {
      if (digests === undefined) throw new Error('the body was not read to its end')
      return digests
    },
    /**
     * Reads an XML body whole.
     * @throws S3Error MaxMessageLengthExceeded, and what `chunks` throws
     */
    async xml(): Promise<Buffer> {
      if (size > maxXmlBytes)
        throw new S3Error('MaxMessageLengthExceeded', undefined, {
          MaxMessageLengthBytes: String(maxXmlBytes),
        })
      const chunks: Buffer[] = []
      for await (const chunk of verified()) chunks.push(chunk)
      return Buffer.concat(chunks)
    },
  }
}

/**
 * Passes bytes on and digests them on the way, for bytes that come from a file rather than from a client.
 */
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
    /** After the iteration. */
    async digests(): Promise<BodyDigests> {
      const value = (await checksum?.digest())?.toString('base64')
      return {
        md5: md5.digest('hex'),
        checksum: algorithm === undefined || value === undefined ? undefined : { algorithm, value },
      }
    },
  }
}

function announcedTrailer(header: string | undefined): ChecksumAlgorithm | undefined {
  if (header === undefined) return undefined
  const name = header.trim().toLowerCase()
  if (!name.startsWith('x-amz-checksum-')) {
    throw new S3Error('InvalidRequest', 'The value specified in the x-amz-trailer header is not supported')
  }
  return checksumAlgorithm(name.slice('x-amz-checksum-'.length))
}

/**
 * The request's body as it comes. Stopping early, or a client that falls silent, leaves the connection usable for
 * the answer; that is why this is not the request's own iterator, which destroys it on any error.
 *
 * @param timeoutMs longest silence in ms
 * @throws S3Error RequestTimeout; an error of Node's when the client goes away
 */
export async function* readRawBody(exchange: S3Exchange, timeoutMs: number): AsyncGenerator<Buffer> {
  const { req, socket } = exchange
  let event = Promise.withResolvers<void>()
  const onEvent = () => event.resolve()
  const onError = (error: Error) => event.reject(error)
  const onClose = () => event.reject(new Error('the client went away'))
  const onTimeout = () => event.reject(new S3Error('RequestTimeout'))
  // A failure while nobody waits is found again by the next wait.
  event.promise.catch(() => undefined)
  req.on('readable', onEvent).on('end', onEvent).on('error', onError).on('close', onClose)
  // Heard on the request: Node ends a connection whose silence nobody but the socket hears of.
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
      // Also when it was over before anybody listened: no event would tell of it any more.
      if (req.destroyed && req.complete) return
      if (req.destroyed) throw new Error('the client went away')
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
